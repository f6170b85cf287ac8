! grep -q '"rating": 1' "$1"
