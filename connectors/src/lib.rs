//! Sources and sinks, one module per system, on one HTTP stack.
