"""Which addresses may be posted to: the ways in which people have reached what they should not."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.monitoring.addresses import kind_of

pytestmark = pytest.mark.fault(58)


@given(st.integers(0, 2**32 - 1))
def test_an_address_is_the_same_in_every_dress(number: int) -> None:
    """IPv4 within IPv6, mapped or translated, is what the IPv4 address is."""
    plain = IPv4Address(number)
    kind = kind_of(str(plain))
    assert kind_of(f"::ffff:{plain}") == kind
    assert kind_of(str(IPv6Address(0xFFFF << 32 | number))) == kind
    assert kind_of(f"64:ff9b::{plain}") == kind
    assert kind_of(f"::{plain}") in {"never", "private"}  # ::1 is one of these
    assert kind_of(str(IPv6Address(0x2002 << 112 | number << 80))) == "never"


@given(st.integers(0, 2**32 - 1))
def test_only_global_addresses_are_public(number: int) -> None:
    """Nothing that Python calls private, loopback, link-local, multicast, reserved or unspecified is public."""
    plain = IPv4Address(number)
    if kind_of(str(plain)) == "public":
        assert plain.is_global
        others = (plain.is_private, plain.is_multicast, plain.is_reserved, plain.is_link_local, plain.is_loopback)
        assert not any(others)


@pytest.mark.parametrize(
    ("kind", "addresses"),
    [
        ("public", "8.8.8.8 1.1.1.1 2606:4700:4700::1111 ::ffff:8.8.8.8"),
        ("private", "127.0.0.1 127.9.9.9 10.0.0.1 172.16.0.1 192.168.1.1 100.64.0.1 ::1 fd12:3456::1 ::ffff:127.0.0.1"),
        (
            "never",
            "169.254.169.254 ::ffff:169.254.169.254 ::ffff:a9fe:a9fe fd00:ec2::254 100.100.100.200 168.63.129.16",
        ),
        ("never", "169.254.0.1 fe80::1 fe80::1%eth0 0.0.0.0 0.1.2.3 :: 224.0.0.1 ff02::1 255.255.255.255 240.0.0.1"),
        ("never", "64:ff9b::a9fe:a9fe 2002:7f00:1:: 2001:0:4136:e378:8000:63bf:3fff:fdd2 fec0::1 2001:db8::1 ::7f00:1"),
        ("never", "2130706433 127.1 0x7f.0.0.1 0177.0.0.1 localhost example.com 1.2.3.4.5"),
    ],
)
def test_examples(kind: str, addresses: str) -> None:
    """Known addresses, and spellings that only a resolver takes for one."""
    assert {address: kind_of(address) for address in addresses.split()} == dict.fromkeys(addresses.split(), kind)
