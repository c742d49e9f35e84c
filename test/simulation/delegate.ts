// SPDX-License-Identifier: Apache-2.0
import type { Kube } from '#kube/port.ts'

/** A port with some of its calls replaced. Ports are classes: spreading one would lose its methods. */
export function delegate(kube: Kube, override: Partial<Kube>): Kube {
  return {
    get: (r, name, namespace) => kube.get(r, name, namespace),
    list: (r, s) => kube.list(r, s),
    create: (r, object) => kube.create(r, object),
    replace: (r, object, subresource) => kube.replace(r, object, subresource),
    patch: (r, name, patch, namespace) => kube.patch(r, name, patch, namespace),
    delete: (r, name, namespace, uid) => kube.delete(r, name, namespace, uid),
    watch: (r, s, handler) => kube.watch(r, s, handler),
    event: e => kube.event(e),
    ...override,
  }
}
