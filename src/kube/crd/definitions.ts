// SPDX-License-Identifier: Apache-2.0
import type { Definition } from './definition.ts'
import { networkInterfaceSpec, networkInterfaceStatus, networkInterfaces } from './network-interface.ts'
import { nodeCrs, nodeSpec, nodeStatus } from './node.ts'
import { nodeRuntimeSpec, nodeRuntimeStatus, nodeRuntimes } from './node-runtime.ts'
import { podEniObjectSpec, podEniStatus, podEnis } from './pod-eni.ts'
import { podNetworkingSpec, podNetworkingStatus, podNetworkings } from './pod-networking.ts'

/**
 * Versions: Terway's own, and for the two kinds with additional fields (docs/addresses.md) one minor version above Terway's
 * (nodes v0.10.0, noderuntimes v0.1.0), so that a cluster that is taken over gets them and a Terway that returns leaves them.
 */
export const definitions: readonly Definition[] = [
  { resource: nodeCrs, crdVersion: 'v0.11.0', spec: nodeSpec, status: nodeStatus },
  { resource: nodeRuntimes, crdVersion: 'v0.2.0', spec: nodeRuntimeSpec, status: nodeRuntimeStatus },
  { resource: podNetworkings, crdVersion: 'v0.1.0', spec: podNetworkingSpec, status: podNetworkingStatus },
  { resource: podEnis, crdVersion: 'v0.4.2', spec: podEniObjectSpec, status: podEniStatus },
  {
    resource: networkInterfaces,
    crdVersion: 'v0.1.0',
    spec: networkInterfaceSpec,
    status: networkInterfaceStatus,
    columns: [
      { name: 'Phase', jsonPath: '.status.phase' },
      { name: 'InstanceID', jsonPath: '.status.instanceID' },
      { name: 'TrunkENIID', jsonPath: '.status.trunkENIID' },
      { name: 'NodeName', jsonPath: '.status.nodeName' },
      { name: 'PodNamespace', jsonPath: '.spec.podENIRef.namespace' },
      { name: 'PodName', jsonPath: '.spec.podENIRef.name' },
      { name: 'Type', jsonPath: '.status.eniInfo.type' },
    ],
  },
]
