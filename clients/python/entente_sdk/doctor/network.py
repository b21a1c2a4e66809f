"""Does the name resolve, and does anybody answer there?"""

from __future__ import annotations

import socket
import time

from entente_sdk.doctor.finding import Finding, fail, ok
from entente_sdk.profile import Profile

NAME, CONNECTION = "name", "connection"
CONNECT_SECONDS = 3.0


def examine_name(profile: Profile) -> Finding:
    """Whether the system's resolver knows the endpoint's host."""
    try:
        found = socket.getaddrinfo(profile.host, profile.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return fail(
            NAME,
            f"{profile.host!r} does not resolve: {error}",
            "Correct endpoint in the profile; if it is right, ask whoever runs your network's DNS.",
        )
    addresses = sorted({str(each[4][0]) for each in found})
    return ok(NAME, f"{profile.host} is {', '.join(addresses)}")


def examine_connection(profile: Profile) -> Finding:
    """Whether a TCP connection can be made."""
    began = time.monotonic()
    try:
        socket.create_connection((profile.host, profile.port), CONNECT_SECONDS).close()
    except ConnectionRefusedError:
        return fail(
            CONNECTION,
            f"nothing listens at {profile.endpoint}",
            "Check the port in endpoint, and with the broker's operator that the broker runs.",
        )
    except TimeoutError:
        return fail(
            CONNECTION,
            f"{profile.endpoint} did not answer within {CONNECT_SECONDS:.0f} s",
            "A firewall may drop the packets: ask your network's operator to let this machine reach that port.",
        )
    except OSError as error:
        return fail(
            CONNECTION,
            f"{profile.endpoint} cannot be reached: {error}",
            "Check this machine's network and routes.",
        )
    return ok(CONNECTION, f"{profile.endpoint} answers ({(time.monotonic() - began) * 1000:.0f} ms)")
