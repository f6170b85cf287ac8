"""Prompts that want to be more than text: markup, script, control characters, sheer length."""

HOSTILE = [
    "<script>document.title = 'owned'</script>",
    "</script><script>document.title = 'owned'</script>",
    "<!-- <script>",
    '"><img src=x onerror="document.title=\'owned\'">',
    "</td></table><iframe src=https://example.org>",
    "<svg onload=\"document.title='owned'\"></svg>",
    "<style>* { display: none }</style>",
    "javascript:alert(1)",
    "${document.title = 'owned'} {{7*7}}",
    "a\x00b\x1b[31mred\u202etxt\u2028",
    "&lt;b&gt; & <b>",
    "x" * 26_000,
]
"""``document.title`` tells whether one of them ran."""
