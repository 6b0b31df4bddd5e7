//! Lays out a query from standard input anew: `format < query.kql`.

use std::io::Read;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut query = String::new();
    std::io::stdin().read_to_string(&mut query)?;
    match provost_kql::format_query(&query) {
        Ok(text) => print!("{text}"),
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    }
    Ok(())
}
