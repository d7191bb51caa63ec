"""The samples of a soak as one SVG: a panel per figure, over time."""

WIDTH, HEIGHT, LEFT, GAP = 900, 120, 70, 46

PANELS = [
    ("memory of its own, MB", [("control", "control_kb", 1 / 1024), ("workers", "workers_kb", 1 / 1024)]),
    ("descriptors", [("control", "control_fds", 1), ("workers", "workers_fds", 1)]),
    ("tunnels", [("up", "up", 1), ("not up", "not_up", 1)]),
    ("latency of a request, ms", [("p50", "p50_ms", 1), ("p99", "p99_ms", 1)]),
    ("failed requests and worker restarts, in all", [("failures", "failures", 1), ("restarts", "restarts", 1)]),
]
COLOURS = ("#1f5fa8", "#c4551d")


def _line(samples, column, factor, top, highest, end):
    return " ".join(f"{LEFT + WIDTH * sample['seconds'] / end:.1f},{top + HEIGHT - HEIGHT * sample[column] * factor / highest:.1f}"
                    for sample in samples)


def _panel(samples, number, title, lines, end):
    top = 30 + number * (HEIGHT + GAP)
    highest = max(max(sample[column] * factor for sample in samples) for _, column, factor in lines) * 1.05 or 1
    yield f'<text x="{LEFT}" y="{top - 8}" class="title">{title}</text>'
    for part in range(5):
        y = top + HEIGHT - HEIGHT * part / 4
        yield f'<line x1="{LEFT}" y1="{y}" x2="{LEFT + WIDTH}" y2="{y}" class="grid"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{highest * part / 4:.4g}</text>'
    for part in range(7):
        x = LEFT + WIDTH * part / 6
        yield f'<text x="{x}" y="{top + HEIGHT + 14}" text-anchor="middle">{end * part / 6 / 60:.1f} min</text>'
    for index, (name, column, factor) in enumerate(lines):
        colour = COLOURS[index]
        yield f'<polyline points="{_line(samples, column, factor, top, highest, end)}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        yield f'<text x="{LEFT + WIDTH - 8}" y="{top - 8}" dx="{-90 * index}" text-anchor="end" fill="{colour}">{name}</text>'


def write(path, samples, heading):
    end = max(sample["seconds"] for sample in samples) or 1
    height = 30 + len(PANELS) * (HEIGHT + GAP)
    with open(path, "w", encoding="utf-8") as file:
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 20}" height="{height}" font-family="sans-serif" font-size="11">\n'
                   '<style>.title{font-size:13px;font-weight:bold}.grid{stroke:#ddd}</style>\n'
                   f'<title>{heading}</title><rect width="100%" height="100%" fill="white"/>\n')
        for number, (title, lines) in enumerate(PANELS):
            file.write("\n".join(_panel(samples, number, title, lines, end)) + "\n")
        file.write("</svg>\n")
