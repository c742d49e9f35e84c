// SPDX-License-Identifier: Apache-2.0
import { type Logger as PinoLogger, pino } from 'pino'

/** One line of JSON per decision. Fields are named `pod`, `container`, `eni`, `ip`, `requestId`, `err`, … so that they can be searched. */
export type Logger = Pick<PinoLogger, 'debug' | 'info' | 'warn' | 'error'>

/** Field names whose values must never be printed, wherever they occur at depth one or two. */
const secrets = ['accessKeySecret', 'access_secret', 'accessSecret', 'access_key', 'accessKey', 'securityToken', 'token', 'Signature']

export function makeLogger(name: string, level = process.env.LOG_LEVEL ?? 'info'): Logger {
  return pino({
    name,
    level,
    base: { name },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: label => ({ level: label }) },
    redact: { paths: [...secrets, ...secrets.map(s => `*.${s}`)], censor: '******' },
  })
}

/** For tests and library code that runs without a process of its own. */
export const silent: Logger = pino({ level: 'silent' })
