//! The rules and watchlists are built into the program: when one changes, so does the program.

fn main() {
    for folder in ["detections", "watchlists"] {
        println!("cargo:rerun-if-changed={folder}");
    }
}
