"""The reference as a page: the OpenAPI document for people, without a script or a word from elsewhere."""

from __future__ import annotations

from typing import Any

from django.templatetags.static import static
from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language
from django.utils.translation import gettext as _

Json = dict[str, Any]


def page(document: Json) -> str:
    """The whole document as one HTML page, its style sheet our own."""
    grouped: dict[str, list[tuple[str, str, Json]]] = {}
    for place, operations in document["paths"].items():
        for method, operation in operations.items():
            grouped.setdefault(operation["tags"][0], []).append((method.upper(), place, operation))
    schemas = document["components"]["schemas"]
    base = document["servers"][0]["url"]
    return str(
        format_html(
            '<!doctype html>\n<html lang="{}"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1"><title>{}</title>'
            '<link rel="stylesheet" href="{}"><link rel="icon" href="{}"></head><body class="reference"><main>'
            '<h1>{}</h1>{}<p><a href="openapi.json">openapi.json</a></p><nav><ul>{}</ul></nav>{}'
            '<h2 id="forms">{}</h2>{}'
            "</main></body></html>\n",
            get_language() or "en",
            _("Tallystick API"),
            static("tallystick/page.css"),
            static("tallystick/mark.svg"),
            _("Tallystick API"),
            _paragraphs(document["info"]["description"]),
            _contents(grouped),
            format_html_join(
                "\n",
                '<h2 id="{}">{}</h2>{}',
                (
                    (
                        _anchor(tag),
                        tag,
                        format_html_join("\n", "{}", ((_operation(base, *each),) for each in some)),
                    )
                    for tag, some in grouped.items()
                ),
            ),
            _("Forms"),
            format_html_join("\n", "{}", ((_schema(name, schema),) for name, schema in schemas.items())),
        )
    )


def _contents(grouped: dict[str, list[tuple[str, str, Json]]]) -> SafeString:
    return format_html_join(
        "\n",
        '<li><a href="#{}">{}</a><ul>{}</ul></li>',
        (
            (
                _anchor(tag),
                tag,
                format_html_join(
                    "",
                    '<li><a href="#{}"><code>{} {}</code></a> {}</li>',
                    ((each["operationId"], method, place, each["summary"]) for method, place, each in some),
                ),
            )
            for tag, some in grouped.items()
        ),
    )


def _operation(base: str, method: str, place: str, operation: Json) -> SafeString:
    rows = [
        (each["name"], each["in"], _kind(each["schema"]), each.get("description", ""))
        for each in operation.get("parameters", ())
    ]
    return format_html(
        '<section id="{}"><h3><code>{} {}{}</code></h3><p>{}. {}</p>{}{}{}</section>',
        operation["operationId"],
        method,
        base,
        place,
        operation["summary"],
        operation.get("description", ""),
        _table((_("Parameter"), _("In"), _("Form"), _("Meaning")), rows) if rows else "",
        _contents_of(_("Takes"), operation.get("requestBody", {})),
        format_html_join(
            "",
            "{}",
            (
                (_contents_of(f"{_('Gives')} {status}", each),)
                for status, each in operation["responses"].items()
            ),
        ),
    )


def _contents_of(label: str, holder: Json) -> SafeString:
    return format_html_join(
        "",
        "<p>{} <code>{}</code>: {}</p>",
        (
            (label, media, _lines(each) if "itemSchema" in each else _kind(each.get("schema", {})))
            for media, each in holder.get("content", {}).items()
        ),
    )


def _lines(content: Json) -> SafeString:
    return format_html("{} {}", _("a line each:"), _kind(content["itemSchema"]))


def _schema(name: str, schema: Json) -> SafeString:
    needed = schema.get("required", ())
    rows = [
        (field, "" if field in needed else _("may be left out"), _kind(each), each.get("description", ""))
        for field, each in schema.get("properties", {}).items()
    ]
    body = _table((_("Field"), "", _("Form"), _("Meaning")), rows) if rows else _line(_kind(schema))
    return format_html(
        '<section id="form-{}"><h3><code>{}</code></h3>{}{}</section>',
        name,
        name,
        _paragraphs(schema.get("description", "")),
        body,
    )


def _kind(schema: Json) -> SafeString:
    """A schema in a few words, with links to the forms it names."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return format_html('<a href="#form-{}"><code>{}</code></a>', name, name)
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return format_html_join(" | ", "{}", ((_kind(each),) for each in schema[several]))
    if "const" in schema:
        return format_html("<code>{}</code>", schema["const"])
    if "enum" in schema:
        return format_html_join(" | ", "<code>{}</code>", ((each,) for each in schema["enum"]))
    if schema.get("type") == "array":
        return format_html("{} […]", _kind(schema.get("items", {})))
    if schema.get("type") == "object" and "properties" in schema:
        inner = ((name, _kind(each)) for name, each in schema["properties"].items())
        return format_html("{{{}}}", format_html_join(", ", "{}: {}", inner))
    names = ("minimum", "maximum", "minLength", "maxLength", "pattern", "default")
    bounds = ", ".join(f"{name} {schema[name]}" for name in names if schema.get(name) is not None)
    return format_html("{} {}", schema.get("format") or schema.get("type", "JSON"), bounds)


def _table(headings: tuple[str, ...], rows: list[tuple[Any, ...]]) -> SafeString:
    return format_html(
        '<div class="scroll" tabindex="0"><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>',
        format_html_join("", '<th scope="col">{}</th>', ((each,) for each in headings)),
        format_html_join(
            "\n",
            "<tr><td><code>{}</code></td>{}</tr>",
            ((row[0], format_html_join("", "<td>{}</td>", ((cell,) for cell in row[1:]))) for row in rows),
        ),
    )


def _line(inner: SafeString) -> SafeString:
    return format_html("<p>{}</p>", inner)


def _paragraphs(text: str) -> SafeString:
    parts = [escape(each) for each in text.split("\n\n") if each]
    return mark_safe("".join(f"<p>{each}</p>" for each in parts))  # noqa: S308 -- each part is escaped


def _anchor(tag: str) -> str:
    return tag.lower().replace(" ", "-")
