// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import type { Credentials } from '#cloud/credentials.ts'
import { parseSecret } from '#controller/config.ts'
import { AppError } from '#lib/errors.ts'

/** The key of a mounted ctrl-secret.yaml, read for every call: a corrected Secret works without a restart. */
export function secretKey(path: string): Credentials {
  return async () => {
    const { accessKey, accessSecret } = parseSecret(readFileSync(path, 'utf8'))
    if (accessKey === '') throw new AppError('no-credentials', `${path}: accessKey is empty`)
    return { accessKeyId: accessKey, accessKeySecret: accessSecret }
  }
}
