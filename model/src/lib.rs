//! The words everyone in Provost shares: tables, entities, findings, incidents, windows.
