"""The baseline: a bare grpc.aio server with mutual TLS and uvloop, whose reply has a given size."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from broker.identify.tls import require_tls13


def main() -> None:
    """`python -m tests.bench.bare NETWORK_DIR ADDRESS`: the reply's size is the request's first four bytes."""
    require_tls13()
    import grpc
    import uvloop

    from broker.identify.server_certificate import Offer, read_pair
    from broker.identify.tls import server_credentials

    directory, address = Path(sys.argv[1]), sys.argv[2]
    replies: dict[bytes, bytes] = {}

    async def reply(request: bytes, _: object) -> bytes:
        wanted = request[:4]
        found = replies.get(wanted)
        if found is None:
            found = replies[wanted] = bytes(int.from_bytes(wanted, "big"))
        return found

    class Bare(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            return grpc.unary_unary_rpc_method_handler(reply)

    async def run() -> None:
        server = grpc.aio.server(options=(("grpc.so_reuseport", 0), ("grpc.max_send_message_length", 32 << 20)))
        server.add_generic_rpc_handlers((Bare(),))
        authority = directory / "authority"
        files = (authority / "broker/cert.pem", authority / "broker/key.pem")
        pair = read_pair(*(one.read_bytes() for one in files), int(time.time()))
        offer = Offer(pair, (authority / "root.pem").read_bytes())
        server.add_secure_port(address, server_credentials(lambda: offer))
        await server.start()
        print("ready", flush=True)
        await server.wait_for_termination()

    uvloop.run(run())


if __name__ == "__main__":
    main()
