"""Run by sslyze's own Python (`judge.py`): scan HOST:PORT as a client with a certificate, print what is wrong as JSON.

Imports nothing of this project: the judge's environment holds sslyze alone.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def main(address: str, folder: Path) -> None:
    """Scan, and compare with Mozilla's modern profile."""
    import sslyze
    from sslyze.mozilla_tls_profile import tls_config_checker as checker

    host, _, port = address.rpartition(":")
    name = "localhost" if host in ("127.0.0.1", "localhost") else host
    request = sslyze.ServerScanRequest(
        server_location=sslyze.ServerNetworkLocation(name, int(port), ip_address=host),
        network_configuration=sslyze.ServerNetworkConfiguration(
            name,
            tls_client_auth_credentials=sslyze.ClientAuthenticationCredentials(folder / "cert.pem", folder / "key.pem"),
        ),
        scan_commands=checker.SCAN_COMMANDS_NEEDED_BY_MOZILLA_CHECKER | {sslyze.ScanCommand.TLS_1_3_EARLY_DATA},
        scan_commands_extra_arguments=sslyze.ScanCommandsExtraArguments(
            certificate_info=sslyze.CertificateInfoExtraArgument(custom_ca_file=folder / "ca.pem")
        ),
    )
    scanner = sslyze.Scanner()
    scanner.queue_scans([request])
    (result,) = scanner.get_results()
    modern = checker.MozillaTlsConfiguration.get(checker.TlsConfigurationEnum.MOZILLA_MODERN)
    issues: dict[str, str] = {}
    try:
        checker.check_server_against_tls_configuration(result, modern)
    except checker.ServerNotCompliantWithTlsConfiguration as found:
        issues = dict(found.issues)
    issues |= _early_data(result)
    print(json.dumps({"issues": issues, "seen": _seen(result)}))


def _early_data(result: Any) -> dict[str, str]:
    """A replay of the first flight would be a replay of a call."""
    found = result.scan_result.tls_1_3_early_data.result
    return {"early_data": "0-RTT data is taken"} if found is not None and found.supports_early_data else {}


def _seen(result: Any) -> str:
    scan = result.scan_result
    suites = [one.cipher_suite.name for one in scan.tls_1_3_cipher_suites.result.accepted_cipher_suites]
    curves = [one.name for one in scan.elliptic_curves.result.supported_curves or ()]
    return f"TLS 1.3 with {', '.join(suites)}; curves {', '.join(curves)}"


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
