// SPDX-License-Identifier: Apache-2.0
// Made from terway.proto by tools/gen-proto.ts; do not edit.
export const terwayProto = {
 "nested": {
  "rpc": {
   "nested": {
    "TerwayBackend": {
     "methods": {
      "AllocIP": {
       "requestType": "AllocIPRequest",
       "responseType": "AllocIPReply"
      },
      "ReleaseIP": {
       "requestType": "ReleaseIPRequest",
       "responseType": "ReleaseIPReply"
      },
      "GetIPInfo": {
       "requestType": "GetInfoRequest",
       "responseType": "GetInfoReply"
      },
      "RecordEvent": {
       "requestType": "EventRequest",
       "responseType": "EventReply"
      }
     }
    },
    "TerwayTracing": {
     "methods": {
      "GetResourceTypes": {
       "requestType": "Placeholder",
       "responseType": "ResourcesTypesReply"
      },
      "GetResources": {
       "requestType": "ResourceTypeRequest",
       "responseType": "ResourcesNamesReply"
      },
      "GetResourceConfig": {
       "requestType": "ResourceTypeNameRequest",
       "responseType": "ResourceConfigReply"
      },
      "GetResourceTrace": {
       "requestType": "ResourceTypeNameRequest",
       "responseType": "ResourceTraceReply"
      },
      "ResourceExecute": {
       "requestType": "ResourceExecuteRequest",
       "responseType": "ResourceExecuteReply",
       "responseStream": true
      },
      "GetResourceMapping": {
       "requestType": "Placeholder",
       "responseType": "ResourceMappingReply"
      }
     }
    },
    "IPType": {
     "values": {
      "TypeVPCIP": 0,
      "TypeVPCENI": 1,
      "TypeENIMultiIP": 2
     }
    },
    "Error": {
     "values": {
      "ErrNoErr": 0,
      "ErrCRDNotFound": 1
     }
    },
    "EventTarget": {
     "values": {
      "EventTargetNode": 0,
      "EventTargetPod": 1
     }
    },
    "EventType": {
     "values": {
      "EventTypeNormal": 0,
      "EventTypeWarning": 1
     }
    },
    "IPSet": {
     "fields": {
      "IPv4": {
       "type": "string",
       "id": 1
      },
      "IPv6": {
       "type": "string",
       "id": 2
      }
     }
    },
    "AllocIPRequest": {
     "fields": {
      "K8sPodName": {
       "type": "string",
       "id": 1
      },
      "K8sPodNamespace": {
       "type": "string",
       "id": 2
      },
      "K8sPodInfraContainerId": {
       "type": "string",
       "id": 3
      },
      "Netns": {
       "type": "string",
       "id": 4
      },
      "IfName": {
       "type": "string",
       "id": 5
      }
     }
    },
    "AllocIPReply": {
     "fields": {
      "Success": {
       "type": "bool",
       "id": 1
      },
      "IPType": {
       "type": "IPType",
       "id": 2
      },
      "IPv4": {
       "type": "bool",
       "id": 3
      },
      "IPv6": {
       "type": "bool",
       "id": 4
      },
      "NetConfs": {
       "rule": "repeated",
       "type": "NetConf",
       "id": 5
      }
     }
    },
    "NetConf": {
     "fields": {
      "BasicInfo": {
       "type": "BasicInfo",
       "id": 1
      },
      "ENIInfo": {
       "type": "ENIInfo",
       "id": 2
      },
      "Pod": {
       "type": "Pod",
       "id": 3
      },
      "IfName": {
       "type": "string",
       "id": 4
      },
      "ExtraRoutes": {
       "rule": "repeated",
       "type": "Route",
       "id": 5
      },
      "DefaultRoute": {
       "type": "bool",
       "id": 6
      }
     }
    },
    "BasicInfo": {
     "fields": {
      "PodIP": {
       "type": "IPSet",
       "id": 1
      },
      "PodCIDR": {
       "type": "IPSet",
       "id": 2
      },
      "GatewayIP": {
       "type": "IPSet",
       "id": 3
      },
      "ServiceCIDR": {
       "type": "IPSet",
       "id": 4
      }
     }
    },
    "ENIInfo": {
     "oneofs": {
      "_VfId": {
       "oneof": [
        "VfId"
       ]
      }
     },
     "fields": {
      "MAC": {
       "type": "string",
       "id": 1
      },
      "Trunk": {
       "type": "bool",
       "id": 2
      },
      "Vid": {
       "type": "uint32",
       "id": 3
      },
      "GatewayIP": {
       "type": "IPSet",
       "id": 4
      },
      "eRDMA": {
       "type": "bool",
       "id": 5
      },
      "VfId": {
       "type": "uint32",
       "id": 6,
       "options": {
        "proto3_optional": true
       }
      }
     }
    },
    "Route": {
     "fields": {
      "Dst": {
       "type": "string",
       "id": 1
      }
     }
    },
    "Pod": {
     "fields": {
      "Ingress": {
       "type": "uint64",
       "id": 1
      },
      "Egress": {
       "type": "uint64",
       "id": 2
      },
      "NetworkPriority": {
       "type": "string",
       "id": 3
      }
     }
    },
    "ReleaseIPRequest": {
     "fields": {
      "K8sPodName": {
       "type": "string",
       "id": 1
      },
      "K8sPodNamespace": {
       "type": "string",
       "id": 2
      },
      "K8sPodInfraContainerId": {
       "type": "string",
       "id": 3
      },
      "IPType": {
       "type": "IPType",
       "id": 4
      },
      "IPv4Addr": {
       "type": "IPSet",
       "id": 5
      },
      "MacAddr": {
       "type": "string",
       "id": 6
      },
      "Reason": {
       "type": "string",
       "id": 7
      }
     }
    },
    "ReleaseIPReply": {
     "fields": {
      "Success": {
       "type": "bool",
       "id": 1
      },
      "IPv4Addr": {
       "type": "IPSet",
       "id": 2
      },
      "DeviceNumber": {
       "type": "int32",
       "id": 3
      },
      "IPv4": {
       "type": "bool",
       "id": 4
      },
      "IPv6": {
       "type": "bool",
       "id": 5
      }
     }
    },
    "GetInfoRequest": {
     "fields": {
      "K8sPodName": {
       "type": "string",
       "id": 1
      },
      "K8sPodNamespace": {
       "type": "string",
       "id": 2
      },
      "K8sPodInfraContainerId": {
       "type": "string",
       "id": 3
      }
     }
    },
    "GetInfoReply": {
     "fields": {
      "IPType": {
       "type": "IPType",
       "id": 1
      },
      "Success": {
       "type": "bool",
       "id": 2
      },
      "IPv4": {
       "type": "bool",
       "id": 3
      },
      "IPv6": {
       "type": "bool",
       "id": 4
      },
      "NetConfs": {
       "rule": "repeated",
       "type": "NetConf",
       "id": 5
      },
      "Error": {
       "type": "Error",
       "id": 7
      }
     }
    },
    "EventRequest": {
     "fields": {
      "EventTarget": {
       "type": "EventTarget",
       "id": 1
      },
      "K8sPodName": {
       "type": "string",
       "id": 2
      },
      "K8sPodNamespace": {
       "type": "string",
       "id": 3
      },
      "EventType": {
       "type": "EventType",
       "id": 4
      },
      "Reason": {
       "type": "string",
       "id": 5
      },
      "Message": {
       "type": "string",
       "id": 6
      }
     }
    },
    "EventReply": {
     "fields": {
      "Succeed": {
       "type": "bool",
       "id": 1
      },
      "Error": {
       "type": "string",
       "id": 2
      }
     }
    },
    "Placeholder": {
     "fields": {}
    },
    "ResourcesTypesReply": {
     "fields": {
      "TypeNames": {
       "rule": "repeated",
       "type": "string",
       "id": 1
      }
     }
    },
    "ResourceTypeRequest": {
     "fields": {
      "Name": {
       "type": "string",
       "id": 1
      }
     }
    },
    "ResourcesNamesReply": {
     "fields": {
      "ResourceNames": {
       "rule": "repeated",
       "type": "string",
       "id": 1
      }
     }
    },
    "ResourceTypeNameRequest": {
     "fields": {
      "Type": {
       "type": "string",
       "id": 1
      },
      "Name": {
       "type": "string",
       "id": 2
      }
     }
    },
    "MapKeyValueEntry": {
     "fields": {
      "Key": {
       "type": "string",
       "id": 1
      },
      "Value": {
       "type": "string",
       "id": 2
      }
     }
    },
    "ResourceConfigReply": {
     "fields": {
      "Config": {
       "rule": "repeated",
       "type": "MapKeyValueEntry",
       "id": 1
      }
     }
    },
    "ResourceTraceReply": {
     "fields": {
      "Trace": {
       "rule": "repeated",
       "type": "MapKeyValueEntry",
       "id": 1
      }
     }
    },
    "ResourceExecuteRequest": {
     "fields": {
      "Type": {
       "type": "string",
       "id": 1
      },
      "Name": {
       "type": "string",
       "id": 2
      },
      "Command": {
       "type": "string",
       "id": 3
      },
      "Args": {
       "rule": "repeated",
       "type": "string",
       "id": 4
      }
     }
    },
    "ResourceExecuteReply": {
     "fields": {
      "Message": {
       "type": "string",
       "id": 1
      }
     }
    },
    "ResourceMapping": {
     "fields": {
      "NetworkInterfaceID": {
       "type": "string",
       "id": 1
      },
      "MAC": {
       "type": "string",
       "id": 2
      },
      "Type": {
       "type": "string",
       "id": 3
      },
      "AllocInhibitExpireAt": {
       "type": "string",
       "id": 4
      },
      "Status": {
       "type": "string",
       "id": 5
      },
      "Info": {
       "rule": "repeated",
       "type": "string",
       "id": 6
      },
      "ipv4_prefixes": {
       "rule": "repeated",
       "type": "PrefixInfo",
       "id": 7
      },
      "ipv6_prefixes": {
       "rule": "repeated",
       "type": "PrefixInfo",
       "id": 8
      }
     }
    },
    "PrefixInfo": {
     "fields": {
      "prefix": {
       "type": "string",
       "id": 1
      },
      "status": {
       "type": "string",
       "id": 2
      },
      "total": {
       "type": "uint32",
       "id": 3
      },
      "used": {
       "type": "uint32",
       "id": 4
      },
      "available": {
       "type": "uint32",
       "id": 5
      },
      "allocations": {
       "rule": "repeated",
       "type": "PrefixIPAllocation",
       "id": 6
      }
     }
    },
    "PrefixIPAllocation": {
     "fields": {
      "ip": {
       "type": "string",
       "id": 1
      },
      "pod_id": {
       "type": "string",
       "id": 2
      }
     }
    },
    "ResourceDBEntry": {
     "fields": {
      "pod_name": {
       "type": "string",
       "id": 1
      },
      "pod_namespace": {
       "type": "string",
       "id": 2
      },
      "eni_id": {
       "type": "string",
       "id": 3
      },
      "eni_mac": {
       "type": "string",
       "id": 4
      },
      "ipv4": {
       "type": "string",
       "id": 5
      },
      "ipv6": {
       "type": "string",
       "id": 6
      },
      "type": {
       "type": "string",
       "id": 7
      }
     }
    },
    "ResourceMappingReply": {
     "fields": {
      "info": {
       "rule": "repeated",
       "type": "ResourceMapping",
       "id": 1
      },
      "resource_db": {
       "rule": "repeated",
       "type": "ResourceDBEntry",
       "id": 2
      }
     }
    }
   }
  }
 }
}
