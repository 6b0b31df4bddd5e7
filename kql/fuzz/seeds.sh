#!/bin/sh
# Writes the queries of the engine's own cases into the corpora, one a file.
set -eu
cd "$(dirname "$0")"
for target in parse bind execute; do
    mkdir -p "corpus/$target"
    for file in ../tests/cases/*.txt; do
        awk -v prefix="corpus/$target/$(basename "$file" .txt)-" '
            /^## / { number += 1; inside = 1; name = prefix number; printf "" > name; next }
            /^----$/ { if (inside) close(name); inside = 0 }
            inside { print > name }
        ' "$file"
    done
done
