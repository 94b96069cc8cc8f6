"""Whether an address belongs to this machine alone."""

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine reach `host`; an unknown name counts as remote."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
