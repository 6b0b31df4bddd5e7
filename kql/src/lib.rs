//! KQL on DataFusion: lexer, parser, binder, planner, functions, diagnostics.
