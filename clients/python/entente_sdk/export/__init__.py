"""Exports: everything that fits a search, as a file that can be verified later."""

from entente_sdk.export.file import Exported, ExportFile
from entente_sdk.export.verify import is_export, verify_export

__all__ = ["ExportFile", "Exported", "is_export", "verify_export"]
