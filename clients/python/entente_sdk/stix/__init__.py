"""STIX 2.0 and 2.1 bundles as reports: read, map, compare with what the broker holds, import.

bundle = read_bundle(path)                       # entente_sdk.stix.bundle: reading and checking
mapped = map_bundle(bundle, Sharing())           # .mapping: pure, asks no broker
plan = decide(mapped.reports[0], held)           # .plan: pure, newest wins, item by item
result = await Importer(client, ...).run(mapped) # .importer: bounded, resumable
"""
