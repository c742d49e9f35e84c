// SPDX-License-Identifier: Apache-2.0
// How much the deterministic simulation covers, and what it finds: random histories of a whole cluster from fresh seeds, then
// every variant of the product that lacks one safeguard.
import { isViolation } from '../test/simulation/cluster.ts'
import { mutants } from '../test/simulation/mutants.ts'
import { history } from '../test/simulation/scenario.ts'
import { amount } from './measure/machine.ts'
import { row, writeRows } from './measure/row.ts'

/** Operations of one history, as in test/simulation. */
const length = amount(600, 60)
const wanted = Number(process.env.OPERATIONS ?? amount(20_400, 120))
/** Fixed seeds for the mutants, as in test/simulation. */
const seedsPerMutant = amount(20, 2)
const progressEvery = 5000

type Verdict = 'leaks' | 'double' | 'stuck'

/** Which invariant a violation is about, by the words of test/simulation/invariants.ts. */
function verdictOf(message: string): Verdict {
  if (/is in no Node CR|at rest: .* in the CR and .* in the cloud|has intents/.test(message)) return 'leaks'
  if (/is leased to .* and to|is in the sandboxes|, (lease|sandbox) .*, is /.test(message)) return 'double'
  return 'stuck'
}

const found: Record<Verdict, number> = { leaks: 0, double: 0, stuck: 0 }
const base = Math.floor(Math.random() * 2 ** 30)
const start = performance.now()
let operations = 0
for (let seed = base; operations < wanted; seed++) {
  try {
    operations += (await history(seed, length)).operations
  } catch (e) {
    if (!isViolation(e)) throw e
    console.log(`simulation: SEED=${seed} OPS=${length}: ${e.message}`)
    found[verdictOf(e.message)]++
    operations += length
  }
  if (operations % progressEvery < length) console.log(`simulation: ${operations} of ${wanted} operations`)
}
const rate = operations / ((performance.now() - start) / 1000)

let killed = 0
for (const mutant of mutants) {
  let noticed = false
  for (let seed = 1; seed <= seedsPerMutant && !noticed; seed++) {
    noticed = await history(seed, 500, mutant.ports()).then(
      () => false,
      (e: unknown) => {
        if (!isViolation(e)) throw e
        return true
      },
    )
  }
  if (noticed) killed++
  else console.log(`simulation: mutant ${mutant.name} survived ${seedsPerMutant} histories`)
}
writeRows('simulation', [
  row('sim.ops', [operations]),
  row('sim.ops_per_s', [rate]),
  ...(['leaks', 'double', 'stuck'] as const).map(v => row(`sim.${v}`, [found[v]])),
  row('sim.mutants.total', [mutants.length]),
  row('sim.mutants.killed', [killed]),
  row('sim.mutants.survived', [mutants.length - killed]),
])
process.exit(0)
