// SPDX-License-Identifier: Apache-2.0
import { request } from 'node:http'
import { join } from 'node:path'
import { Command } from 'commander'

const program = new Command('sim-cli')
  .description('Speaks to a running simulator over its admin socket.')
  .option('--state <dir>', 'state directory of the simulator', process.env.SIM_STATE ?? 'sim-state')

/** One request to the admin socket; prints the reply, or fails with its message. */
async function ask(method: string, path: string, body?: unknown): Promise<void> {
  const { state } = program.opts<{ state: string }>()
  const text = await new Promise<string>((resolve, reject) => {
    const outgoing = request({ socketPath: join(state, 'admin.sock'), method, path }, async response => {
      const chunks: Buffer[] = []
      for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk)
      const reply = Buffer.concat(chunks).toString('utf8')
      if (response.statusCode === 200) resolve(reply)
      else reject(new Error(reply.trim()))
    })
    outgoing.on('error', error => reject(new Error(`no simulator at ${state}/admin.sock (--state, or SIM_STATE): ${error.message}`)))
    outgoing.end(body === undefined ? undefined : JSON.stringify(body))
  })
  console.log(JSON.stringify(JSON.parse(text), undefined, 2))
}

/** `a=b` pairs; a value that is JSON (number, true, object) is taken as such. */
function pairs(texts: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(
    texts.map(text => {
      const at = text.indexOf('=')
      if (at < 1) throw new Error(`${JSON.stringify(text)} is no name=value`)
      return [text.slice(0, at), value(text.slice(at + 1))]
    }),
  )
}

function value(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

const fault = program.command('fault').description('faults on demand')
fault
  .command('add <kind> [field=value...]')
  .description(
    'throttle | error | lost-reply | slow | stuck | attach-fails | metadata-outage | clock-skew; fields: action, count, probability, seed, params, ms, code, status, when',
  )
  .action((kind: string, fields: string[]) => ask('POST', '/faults', { kind, ...pairs(fields) }))
fault.command('list').action(() => ask('GET', '/faults'))
fault.command('clear [id]').action((id?: string) => ask('DELETE', id === undefined ? '/faults' : `/faults/${id}`))

const instance = program.command('instance')
instance.command('list').action(() => ask('GET', '/instances'))
instance
  .command('create <name> <type> <vSwitchId> <securityGroupId> [field=value...]')
  .action((name: string, type: string, vSwitchId: string, group: string, fields: string[]) =>
    ask('POST', '/instances', { name, type, vSwitchId, securityGroupIds: [group], ...pairs(fields) }),
  )
for (const verb of ['stop', 'start']) instance.command(`${verb} <id>`).action((id: string) => ask('POST', `/instances/${id}/${verb}`))
instance.command('delete <id>').action((id: string) => ask('DELETE', `/instances/${id}`))

program
  .command('vanish <eniId>')
  .description('delete an ENI by force, as somebody else might')
  .action((id: string) => ask('POST', `/enis/${id}/vanish`))
program
  .command('exhaust <vSwitchId>')
  .description('let a vSwitch run out of addresses')
  .action((id: string) => ask('POST', `/vswitches/${id}/exhaust`))
program
  .command('restore <vSwitchId>')
  .description('end the exhaustion')
  .action((id: string) => ask('POST', `/vswitches/${id}/restore`))
program
  .command('view')
  .description('what the fabric must make real')
  .action(() => ask('GET', '/view'))
program
  .command('state')
  .description('every row, without secrets')
  .action(() => ask('GET', '/state'))

program.parseAsync().catch(error => {
  console.error(error instanceof Error ? error.message : error)
  process.exit(1)
})
