// What cards use of GFM: paragraphs, lists, tables, strong text. Everything else stays text; nothing becomes HTML.

export function rendered(text) {
  return text.split(/\n{2,}/).flatMap((block) => groups(block.split("\n")).map(element));
}

// Lines that stand together and are of one kind.
function groups(lines) {
  const found = [];
  for (const line of lines) {
    const kind = line.startsWith("|") ? "table" : line.startsWith("- ") ? "ul" : "p";
    if (found.at(-1)?.kind !== kind) found.push({ kind, lines: [] });
    found.at(-1).lines.push(line);
  }
  return found;
}

function element({ kind, lines }) {
  if (kind === "table") return table(lines);
  return kind === "ul" ? made("ul", lines.map((line) => made("li", strong(line.slice(2))))) : made("p", strong(lines.join(" ")));
}

function table([head, , ...rows]) {
  const row = (line, cell) => made("tr", line.split("|").slice(1, -1).map((text) => made(cell, strong(text.trim()))));
  return made("table", [made("thead", [row(head, "th")]), made("tbody", rows.map((line) => row(line, "td")))]);
}

function strong(text) {
  return text.split("**").map((part, place) => (place % 2 ? made("strong", [part]) : part));
}

export function made(name, children = []) {
  const found = document.createElement(name);
  found.append(...children);
  return found;
}
