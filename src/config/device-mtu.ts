// SPDX-License-Identifier: Apache-2.0

const usual = 1500

/**
 * The MTU of the node's own device, as its kernel shows it in files: eth0, which is the primary ENI, else the device of the
 * default route; 1500 when neither can be told. `read` returns undefined for a file that does not exist.
 */
export function deviceMtu(read: (path: string) => string | undefined): number {
  const of = (dev: string) => Number(read(`/sys/class/net/${dev}/mtu`)?.trim())
  const mtu = of('eth0') || of(defaultDevice(read('/proc/net/route') ?? '') ?? 'eth0')
  return mtu >= 576 && mtu <= 65535 ? mtu : usual
}

/** First the name, then destination and gateway in hexadecimal; the eighth column is the mask. */
function defaultDevice(routes: string): string | undefined {
  const found = routes.split('\n').map(line => line.trim().split(/\s+/))
  return found.find(columns => columns[1] === '00000000' && columns[7] === '00000000')?.[0]
}
