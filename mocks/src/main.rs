//! Plays the clouds on loopback until it is told to stop.

fn main() {}
