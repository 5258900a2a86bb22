"""Which addresses of the Internet a program may be told to connect to by its configuration."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Literal

Kind = Literal["public", "private", "never"]

_METADATA = {
    IPv4Address("169.254.169.254"),  # most clouds
    IPv4Address("100.100.100.200"),  # Alibaba
    IPv4Address("168.63.129.16"),  # Azure; a public number
    IPv4Address("192.0.0.192"),  # Oracle
    IPv6Address("fd00:ec2::254"),
    IPv6Address("fd20:ce::254"),
}
_THIS_NETWORK = IPv4Network("0.0.0.0/8")
_UNIQUE_LOCAL = IPv6Network("fc00::/7")
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")


def kind_of(address: str) -> Kind:
    """Tell what an address is.

    Returns:
        `public`; `private`: this machine or a network of one's own; `never`: nothing that a message is sent to (cloud
        metadata, link-local, multicast, unspecified, reserved, a tunnel), or no address in its usual form at all.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return "never"
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return _kind_of_4(parsed.ipv4_mapped)
        if parsed in _NAT64:
            return _kind_of_4(IPv4Address(int(parsed) & 0xFFFFFFFF))
        return _kind_of_6(parsed)
    return _kind_of_4(parsed)


def _kind_of_4(address: IPv4Address) -> Kind:
    if address in _METADATA or address in _THIS_NETWORK:
        return "never"
    if address.is_link_local or address.is_multicast or address.is_reserved:
        return "never"
    return "public" if address.is_global else "private"


def _kind_of_6(address: IPv6Address) -> Kind:
    if address in _METADATA:
        return "never"
    if address.is_loopback or address in _UNIQUE_LOCAL:
        return "private"
    tunnel = address.sixtofour is not None or address.teredo is not None
    return "public" if address in _GLOBAL_UNICAST and address.is_global and not tunnel else "never"
