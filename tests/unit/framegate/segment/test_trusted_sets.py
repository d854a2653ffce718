"""Which elements a trusted device stands for."""

from dataclasses import replace
from ipaddress import IPv4Address

from framegate.segment.trusted_sets import Element, elements_of, every_element, trusted_zones
from support.segments import CAM1, GW1, planned_segment


def test_an_adjacent_camera_stands_by_address_and_by_mac():
    segment = planned_segment()
    binding = segment.named(CAM1)
    address = IPv4Address("10.0.1.9")
    segment = replace(segment, bindings=(replace(binding, addresses=(address,)),))
    mac = bytes.fromhex(binding.mac.replace(":", "")) + b"\0\0"
    assert segment.zones[binding.zone].adjacent
    assert elements_of(segment, CAM1) == (
        Element(f"t_{binding.zone}4", address.packed),
        Element(f"m_{binding.zone}4", address.packed + mac),
    )


def test_nobody_stands_without_a_binding_a_device_or_a_conduit_that_asks_for_trust():
    segment = planned_segment()
    host = replace(segment.named(CAM1), device="", host="printer")
    assert elements_of(segment, "") == elements_of(segment, "camera.line-1.nobody") == ()
    assert elements_of(replace(segment, bindings=(host,)), "printer") == ()
    open_ways = {n: replace(c, trust=frozenset()) for n, c in segment.conduits.items()}
    asking_nobody = replace(segment, conduits=open_ways)
    assert trusted_zones(asking_nobody) == () == elements_of(asking_nobody, CAM1)
    assert every_element(asking_nobody) == frozenset()


def test_every_element_is_that_of_every_device():
    segment = planned_segment()
    assert set(elements_of(segment, CAM1)) | set(elements_of(segment, GW1)) <= every_element(
        segment
    )
    assert {e.set_name[2:-1] for e in every_element(segment)} <= set(trusted_zones(segment))
