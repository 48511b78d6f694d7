"""The report's HTML page, as a Jinja template; everything in it comes from records."""

PAGE = """\
{% macro table(it) %}
<div class="wide"><table>
<caption>{{ it.title }}</caption>
<thead><tr>{% for cell in it.head %}<th scope="col">{{ cell }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in it.rows %}
<tr{{ ' class="bad"' | safe if "(rejected)" in row[0] else ' class="tuned"' | safe if row[0] == "tuned" }}>
<th scope="row">{{ row[0] }}</th>{% for cell in row[1:] %}
<td{{ ' class="whole"' | safe if "[" in cell }}>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</tbody>
</table></div>
{% endmacro %}
{% macro picture(it) %}
<figure><figcaption>{{ it.title }}</figcaption><img width="{{ (100 * it.figure.get_figwidth()) | int }}"
alt="{{ it.alt }}" src="data:image/png;base64,{{ it.base64() }}"></figure>
{% endmacro %}
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{{ title }}</title><style>
:root { color-scheme: light; --ink: #1f2933; --soft: #52606d; --line: #d9dfe5; --accent: #1d5fbf; --bad: #b42318; }
body { margin: 0; background: #fff; color: var(--ink); font: 16px/1.55 system-ui, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1000px; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; overflow-wrap: anywhere; }
h1, h2 { line-height: 1.2; margin: 0 0 .4rem; } h3 { margin: 2.25rem 0 .75rem; } .what { margin: 0 0 1rem; }
section { border-top: 2px solid var(--ink); padding-top: 1.25rem; margin-top: 3rem; }
.warning { border: 1px solid var(--bad); border-left-width: 6px; background: #fef3f2; padding: .75rem 1rem; }
.wide { overflow-x: auto; margin: 1.25rem 0; overflow-wrap: normal; } caption, figcaption { font-weight: 600; }
caption, .whole { white-space: nowrap; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
caption, th, td { text-align: left; vertical-align: top; padding: .35rem 1.25rem .35rem 0; }
tr { border-bottom: 1px solid var(--line); }
thead th, .what { color: var(--soft); } tbody th { font-weight: 500; } figure { margin: 2rem 0; }
.tuned > * { color: var(--accent); font-weight: 700; } .bad > * { color: var(--bad); }
img { max-width: 100%; height: auto; } li img { min-height: 6rem; }
del { background: #fde2df; } ins { background: #d7f0e4; } audio { width: 100%; }
.errors { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: 1rem; padding: 0; }
.errors li { list-style: none; border: 1px solid var(--line); border-radius: 6px; padding: .75rem; font-size: .875rem; }
.grid { display: flex; flex-wrap: wrap; gap: 0 3rem; }
pre { background: #f5f7fa; padding: 1rem; overflow-x: auto; font-size: .8125rem; } summary { cursor: pointer; }
</style>
</head>
<body><main>
<h1>{{ title }}</h1>
{% if compared %}
{{ table(compared) }}
{% if apart %}<p class="warning">Not all runs saw the same rows: see the fingerprints of their data.</p>{% endif %}
{{ picture(beside) }}
{% endif %}
{% for run in runs %}
{% if compared %}<section id="run-{{ loop.index }}"><h2>{{ run.result.name }}</h2>{% endif %}
<p class="what">{{ run.what }}</p>
{% if run.alerts %}
<div class="warning" role="note"><strong>Warning</strong><ul>
{% for line in run.alerts %}<li>{{ line }}</li>{% endfor %}
</ul></div>
{% endif %}
{% for it in run.scores %}{{ table(it) }}{% endfor %}
{% for it in run.plots %}{{ picture(it) }}{% endfor %}
{% if run.result.worst %}
<h3>Worst test errors of the tuned model</h3>
<ul class="errors">
{% for error in run.result.worst %}<li>{% for kind, it in error.rendered.items() %}
{% if kind == "image" %}<img alt="Row {{ error.row }}" src="data:image/png;base64,{{ it }}">{% endif %}
{% if kind == "audio" %}<audio controls preload="none" src="data:audio/wav;base64,{{ it }}"></audio>{% endif %}
{% if kind == "text" %}<p>{{ it }}</p>{% endif %}
{% if kind == "changes" %}<p>{% for sign, part in it %}
{% if sign == "-" %}<del>{{ part }}</del>{% elif sign == "+" %}<ins>{{ part }}</ins>{% else %}{{ part }}{% endif %}
{% endfor %}</p>{% endif %}{% endfor %}
<div>Row {{ error.row }}:{% if "changes" not in error.rendered %} <strong>{{ error.reference }}</strong>, taken for
<strong>{{ error.prediction }}</strong>,{% endif %}
loss {{ "%.3g" | format(error.error) }}</div></li>
{% endfor %}
</ul>
{% endif %}
<h3>Facts</h3>
<div class="grid">{% for it in run.facts %}{{ table(it) }}{% endfor %}</div>
<details><summary>The recipe, with all defaults</summary><pre>{{ run.recipe }}</pre></details>
{% if compared %}</section>{% endif %}
{% endfor %}
</main></body>
</html>
"""
