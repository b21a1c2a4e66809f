"""What processes on one machine share or must not: the data folder, the port, a listener of our own."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker import listener
from broker.domain.clock import SystemClock
from broker.workers.lock import DataFolderInUseError, sole_user, wait_for_orphans
from broker.workers.port import PortTakenError, held_port
from tests.support.live import free_port

HOLD = """
import fcntl, os, sys
held = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(held, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def another_process_holds(path: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


def listening(port: int = 0, *, shared: bool = False) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.settimeout(5)
    try:
        made.bind(("127.0.0.1", port))
        made.listen(16)
    except OSError:
        made.close()
        raise
    return made


def test_one_broker_for_a_data_folder(tmp_path: Path) -> None:
    refused = pytest.raises(DataFolderInUseError, match="stop it")
    with sole_user(tmp_path / "data"), refused, sole_user(tmp_path / "data"):
        pytest.fail("two hold it")
    with sole_user(tmp_path / "data"):
        pass


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    with another_process_holds(tmp_path / "serve.lock") as process:
        with pytest.raises(DataFolderInUseError), sole_user(tmp_path):
            pytest.fail("two hold it")
        process.kill()
        process.wait()
        with sole_user(tmp_path):
            pass


def test_workers_that_are_still_stopping_are_waited_for(tmp_path: Path) -> None:
    (tmp_path / "ledger-1").mkdir()
    with another_process_holds(tmp_path / "ledger-1" / "lock") as process:
        with pytest.raises(DataFolderInUseError, match="ledger-1"):
            wait_for_orphans(tmp_path, SystemClock(), 0.2)
        assert process.stdin is not None
        threading.Timer(0.2, process.stdin.close).start()
        wait_for_orphans(tmp_path, SystemClock(), 20)


@pytest.mark.parametrize("shared", [False, True])
def test_a_port_on_which_something_listens_is_refused(shared: bool) -> None:
    """Also where it could be shared: two brokers on one port would get each other's calls."""
    with listening(shared=shared) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTakenError, match=r"broker\.listen"), held_port(f"127.0.0.1:{port}"):
            pytest.fail("it is taken")


@pytest.mark.parametrize("listen", ["127.0.0.1", "127.0.0.1:http", "nowhere.invalid:1", "127.0.0.1:99999"])
def test_what_is_no_address_is_refused(listen: str) -> None:
    with pytest.raises(PortTakenError, match="cannot listen"), held_port(listen):
        pytest.fail("it is no address")


@pytest.mark.parametrize("number", [0, None])
def test_the_port_is_the_workers_while_it_is_held(number: int | None) -> None:
    """Each worker can listen on it; who does not share it cannot."""
    with held_port(f"127.0.0.1:{free_port() if number is None else number}") as address:
        port = int(address.rpartition(":")[2])
        with listening(port, shared=True), listening(port, shared=True) as second:
            with pytest.raises(OSError, match="in use"):
                listening(port)
            second.close()
    with listening(port):
        pass


def test_the_held_socket_is_given_no_connection() -> None:
    with held_port("127.0.0.1:0") as address:
        port = int(address.rpartition(":")[2])
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 5)
        with listening(port, shared=True) as worker:
            for _ in range(20):
                with socket.create_connection(("127.0.0.1", port), 5):
                    worker.accept()[0].close()


def test_a_listener_that_was_shut_leaves_new_connections_to_the_others_and_keeps_its_own() -> None:
    with listening(shared=True) as ours:
        port = ours.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), 5) as client, ours.accept()[0] as served:
            assert listener.connections(port) == 1, "the client's end is on another port"
            assert listener.stop_accepting(port) == 1
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), 5)
            client.sendall(b"still here")
            assert served.recv(100) == b"still here"
            assert listener.connections(port) == 1
            with listening(port, shared=True) as other:
                for _ in range(20):
                    with socket.create_connection(("127.0.0.1", port), 5):
                        other.accept()[0].close()
        assert listener.connections(port) == 0


def test_only_our_own_port_is_touched() -> None:
    with listening() as ours, listening() as neighbour:
        assert listener.stop_accepting(ours.getsockname()[1]) == 1
        with socket.create_connection(neighbour.getsockname(), 5):
            neighbour.accept()[0].close()


def test_what_waits_to_be_accepted_is_accepted_before_the_listener_is_shut() -> None:
    with listening() as ours:
        port = ours.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), 5) as client:
            accepted: list[socket.socket] = []
            thread = threading.Timer(0.05, lambda: accepted.append(ours.accept()[0]))
            thread.start()
            listener.stop_accepting(port)
            thread.join()
            client.sendall(b"x")
            assert accepted[0].recv(1) == b"x"
            accepted[0].close()
