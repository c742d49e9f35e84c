// SPDX-License-Identifier: Apache-2.0
// Loads two generations in turn, and nothing at all now and then, until it is killed. Arguments: the directory of the pins, two objects.
import { readFileSync } from 'node:fs'
import { loadPinned, unloadPinned } from '#kernel/bpf/pins.ts'
import { sizes } from './bpf-lab.ts'

const [directory = '', ...files] = process.argv.slice(2)
const objects = files.map(file => JSON.parse(readFileSync(file, 'utf8')))
for (let i = 0; ; i++) {
  loadPinned(objects[i % objects.length], directory, sizes, new Set())
  if (i === 0) process.stdout.write('ready\n')
  if (i % 3 === 2) unloadPinned(directory)
}
