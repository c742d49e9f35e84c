# SPDX-License-Identifier: Apache-2.0
"""Leads an ENI through its life with the official Python SDK (signature version 1). Prints one JSON object with what it saw.

usage: sim-sdk.py HOST:PORT KEY_ID KEY_SECRET
"""
import json
import sys
import time
import xml.etree.ElementTree as ElementTree

from aliyunsdkcore.acs_exception.exceptions import ServerException
from aliyunsdkcore.client import AcsClient
from aliyunsdkcore.request import RpcRequest
from aliyunsdkecs.request.v20140526 import (
    AssignIpv6AddressesRequest,
    AssignPrivateIpAddressesRequest,
    AttachNetworkInterfaceRequest,
    CreateNetworkInterfaceRequest,
    DeleteNetworkInterfaceRequest,
    DescribeInstancesRequest,
    DescribeNetworkInterfacesRequest,
    DetachNetworkInterfaceRequest,
    TagResourcesRequest,
    UnassignPrivateIpAddressesRequest,
)

endpoint, key, secret = sys.argv[1:4]
client = AcsClient(key, secret, "cn-lab", auto_retry=False, timeout=5)


def call(request, format="JSON", method=None, using=client):
    request.set_endpoint(endpoint)
    request.set_accept_format(format)
    if method:
        request.set_method(method)
    if format == "XML":  # do_action_with_exception always asks for JSON
        return ElementTree.fromstring(client.get_response(request)[2])
    return json.loads(using.do_action_with_exception(request))


def find(eni_id):
    request = DescribeNetworkInterfacesRequest.DescribeNetworkInterfacesRequest()
    request.set_NetworkInterfaceIds([eni_id])
    found = call(request)["NetworkInterfaceSets"]["NetworkInterfaceSet"]
    return found[0] if found else None


def wait(eni_id, status):
    deadline = time.time() + 10
    while True:
        eni = find(eni_id)
        if (eni or {}).get("Status") == status:
            return eni
        if time.time() > deadline:
            raise SystemExit(f"{eni_id} is {eni and eni['Status']}, not {status}")
        time.sleep(0.05)


def refused(request, using=client):
    try:
        call(request, using=using)
    except ServerException as error:
        return [error.get_http_status(), error.get_error_code()]
    return None


saw = {}
instance = call(DescribeInstancesRequest.DescribeInstancesRequest(), method="GET")["Instances"]["Instance"][0]["InstanceId"]

create = CreateNetworkInterfaceRequest.CreateNetworkInterfaceRequest()
create.set_VSwitchId("vsw-bp1pods-a")
create.set_SecurityGroupId("sg-bp1lab")
create.set_SecondaryPrivateIpAddressCount(1)
create.set_Tags([{"Key": "owner", "Value": "(python) *~ ä"}])
create.set_ClientToken("python-1")
created = call(create)
eni = created["NetworkInterfaceId"]
saw["tags"] = created["Tags"]["Tag"]
saw["repeated"] = call(create)["NetworkInterfaceId"] == eni
create.set_SecondaryPrivateIpAddressCount(2)
saw["other parameters"] = refused(create)

wait(eni, "Available")
attach = AttachNetworkInterfaceRequest.AttachNetworkInterfaceRequest()
attach.set_NetworkInterfaceId(eni)
attach.set_InstanceId(instance)
call(attach)
saw["attached to the instance"] = wait(eni, "InUse")["InstanceId"] == instance

assign = AssignPrivateIpAddressesRequest.AssignPrivateIpAddressesRequest()
assign.set_NetworkInterfaceId(eni)
assign.set_SecondaryPrivateIpAddressCount(2)
xml = call(assign, "XML")
saw["xml root"] = xml.tag
addresses = [node.text for node in xml.iter("PrivateIpAddress")]
saw["assigned"] = len(addresses)
assign.set_SecondaryPrivateIpAddressCount(11)
saw["eleven at once"] = refused(assign)
six = AssignIpv6AddressesRequest.AssignIpv6AddressesRequest()
six.set_NetworkInterfaceId(eni)
six.set_Ipv6AddressCount(1)
saw["ipv6"] = len(call(six)["Ipv6Sets"]["Ipv6Address"])
unassign = UnassignPrivateIpAddressesRequest.UnassignPrivateIpAddressesRequest()
unassign.set_NetworkInterfaceId(eni)
unassign.set_PrivateIpAddresss(addresses)
call(unassign)
saw["unassigned twice"] = refused(unassign)
tag = TagResourcesRequest.TagResourcesRequest()
tag.set_ResourceType("eni")
tag.set_ResourceIds([eni])
tag.set_Tags([{"Key": "second", "Value": ""}])
call(tag)

detach = DetachNetworkInterfaceRequest.DetachNetworkInterfaceRequest()
detach.set_NetworkInterfaceId(eni)
detach.set_InstanceId(instance)
call(detach)
saw["tags at the end"] = sorted(tag["TagKey"] for tag in wait(eni, "Available")["Tags"]["Tag"])
delete = DeleteNetworkInterfaceRequest.DeleteNetworkInterfaceRequest()
delete.set_NetworkInterfaceId(eni)
call(delete)
deadline = time.time() + 10
while find(eni) is not None and time.time() < deadline:
    time.sleep(0.05)
saw["gone"] = find(eni) is None
saw["deleted twice"] = refused(delete)


class Unknown(RpcRequest):
    def __init__(self):
        RpcRequest.__init__(self, "Ecs", "2014-05-26", "MakeCoffee")
        self.set_method("POST")


saw["unknown action"] = refused(Unknown())
wrong = AcsClient(key, secret + "x", "cn-lab", auto_retry=False, timeout=5)
saw["wrong secret"] = refused(DescribeInstancesRequest.DescribeInstancesRequest(), wrong)
print(json.dumps(saw))
