"""A line through a few points as an SVG, without any library: readable on white and on black."""

import math

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 360, 80, 24, 56, 56
INK, LINE, GRID = "#777", "#2a7fb8", "#8884"


def _steps(most):
    """Round numbers from 0 to at least most, four to eight of them."""
    step = 10 ** math.floor(math.log10(most)) if most > 0 else 1
    while most / step < 4:
        step /= 2
    while most / step > 8:
        step *= 2
    return [i * step for i in range(math.ceil(most / step) + 1)]


def _text(x, y, text, anchor="middle", size=13, weight="normal"):
    text = text.replace("&", "&amp;").replace("<", "&lt;")
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" '
            f'fill="{INK}">{text}</text>')


def number(value):
    return f"{value:,.0f}".replace(",", " ") if value >= 100 or value == int(value) else f"{value:.2f}"


def curve(title, x_name, y_name, points):
    """points: (x, y) with rising x. The x axis has the points at equal distances, the y axis begins at 0."""
    steps = _steps(max(y for _, y in points))
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    gap = (right - LEFT) / max(1, len(points) - 1)

    def at(index, y):
        return LEFT + index * gap, bottom - (bottom - TOP) * y / steps[-1]
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
           _text(WIDTH / 2, 24, title, size=16, weight="bold"), _text(WIDTH / 2, HEIGHT - 12, x_name),
           _text(12, TOP - 14, y_name, anchor="start")]
    for step in steps:
        _, y = at(0, step)
        out += [f'<line x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="{GRID}"/>',
                _text(LEFT - 8, y + 4, number(step), anchor="end")]
    places = [at(index, y) for index, (_, y) in enumerate(points)]
    out.append('<polyline fill="none" stroke-width="2.5" stroke="' + LINE + '" points="' +
               " ".join(f"{x:.1f},{y:.1f}" for x, y in places) + '"/>')
    for (x, y), (value, height) in zip(places, points):
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{LINE}"/>', _text(x, y - 10, number(height), size=12),
                _text(x, bottom + 20, number(value))]
    return "\n".join(out + ["</svg>", ""])
