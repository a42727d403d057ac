"use strict";

// Files that a reader keeps: names from titles, text as UTF-8.
const plain = (html) => new DOMParser().parseFromString(String(html).replace(/<br\s*\/?>/gi, " "), "text/html").body.textContent;
const fileName = (title) => title.split(/[.;](?:\s|$)/)[0].normalize("NFKD").replace(/[^\w.+-]+/g, "-").replace(/^[-.]+|[-.]+$/g, "").slice(0, 80) || "galenic";

function keep(name, text, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

// A field of a table that a spreadsheet must not take for a formula begins with an apostrophe.
function field(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "";
  const text = typeof value === "string" && /^[=+@\t\r-]/.test(value) && isNaN(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
const asCsv = (rows) => `\ufeff${rows.map((row) => row.map(field).join(",")).join("\r\n")}\r\n`;

function saver(words, title, act, kind = "") {
  const button = document.createElement("button");
  button.type = "button";
  button.className = `save ${kind}`;
  button.textContent = words;
  button.setAttribute("aria-label", `${words}: ${title}`);
  button.onclick = act;
  return button;
}

// Tables: sort by a heading, search, choose one value of a column, save.
const own = (cell) => [...cell.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE).map((node) => node.data).join("").trim();
const isNumeric = (text) => /^[+\u2212-]?[\d,]*\.?\d+(e[+\u2212-]?\d+)?$/.test(text);

// What a cell says, and what stands beside it: an interval, a badge, a verdict.
function parts(cell) {
  const [, text, span] = own(cell).match(/^(.*?)(?: (\[[^[\]]*\]))?$/s);
  const value = "sort" in cell.dataset && isNumeric(text) ? Number(cell.dataset.sort) : text === "–" ? "" : text;
  return [value, [span, ...[...cell.querySelectorAll("small, .badge")].map((part) => part.textContent)].filter(Boolean).join("; ")];
}

function tableRows(heads, rows) {
  const noted = heads.map((_, i) => rows.some((row) => parts(row.cells[i])[1]));
  const values = (cell, hasNote) => (hasNote ? parts(cell) : [parts(cell)[0]]);
  const names = heads.flatMap((head, i) => (noted[i] ? [head.textContent, `${head.textContent} (note)`] : [head.textContent]));
  return [names, ...rows.map((row) => [...row.cells].flatMap((cell, i) => values(cell, noted[i])))];
}

for (const box of document.querySelectorAll(".table")) {
  const body = box.querySelector("tbody");
  const heads = [...box.querySelectorAll("thead th")];
  const rows = [...body.rows];
  const title = box.dataset.title;
  const key = (row, i) => row.cells[i].dataset.sort ?? row.cells[i].textContent;
  const tests = [];
  const count = document.createElement("output");
  const show = () => {
    rows.forEach((row) => { row.hidden = !tests.every((test) => test(row)); });
    const shown = rows.filter((row) => !row.hidden).length;
    count.textContent = shown < rows.length ? `${shown} of ${rows.length} rows` : "";
  };

  heads.forEach((head, i) => {
    head.classList.toggle("number", rows.some((row) => row.cells[i].classList.contains("number")));
    const isNumber = rows.some((row) => "sort" in row.cells[i].dataset);
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.onclick = () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const empty = (row) => isNumber && !("sort" in row.cells[i].dataset);
      rows.sort((a, b) => empty(a) - empty(b) || (up ? 1 : -1)
        * (isNumber ? key(a, i) - key(b, i) : key(a, i).localeCompare(key(b, i), undefined, { numeric: true })));
      body.append(...rows);
    };
  });

  const tools = document.createElement("div");
  tools.className = "tools";
  for (const name of box.dataset.choose.split("|").filter(Boolean)) {
    const i = heads.findIndex((head) => head.textContent === name);
    const values = [...new Set(rows.map((row) => row.cells[i].textContent))];
    if (values.length < 2) continue;
    const select = document.createElement("select");
    select.setAttribute("aria-label", `${name}: ${title}`);
    select.add(new Option(`every ${name}`, ""));
    values.forEach((value) => select.add(new Option(value)));
    select.selectedIndex = rows.length > 60 ? 1 : 0;
    select.onchange = show;
    tests.push((row) => select.selectedIndex === 0 || row.cells[i].textContent === values[select.selectedIndex - 1]);
    tools.append(select);
  }
  if ("search" in box.dataset) {
    const input = document.createElement("input");
    input.type = "search";
    input.placeholder = "search";
    input.setAttribute("aria-label", `search: ${title}`);
    input.oninput = show;
    tests.push((row) => row.textContent.toLowerCase().includes(input.value.trim().toLowerCase()));
    tools.append(input);
  }
  const all = () => [...body.rows, ...box.querySelectorAll("tfoot tr")];
  tools.append(count, saver("CSV", title, () => keep(`${fileName(title)}.csv`, asCsv(tableRows(heads, all())), "text/csv")));
  box.prepend(tools);
  if (tests.length) show();
}

// What scrolls can be reached by keys, and says what it is.
const boxes = new ResizeObserver((seen) => {
  for (const { target } of seen) {
    const scrolls = target.scrollWidth > target.clientWidth + 1 || target.scrollHeight > target.clientHeight + 1;
    for (const [name, value] of [["tabindex", "0"], ["role", "region"], ["aria-label", `table: ${target.parentElement.dataset.title}`]]) {
      if (scrolls) target.setAttribute(name, value);
      else target.removeAttribute(name);
    }
  }
});
document.querySelectorAll(".scroll").forEach((box) => boxes.observe(box));

// Figures as tables: one row a point, bar or field, from the same numbers that are drawn.
const KINDS = { f8: Float64Array, f4: Float32Array, i1: Int8Array, u1: Uint8Array, i2: Int16Array, u2: Uint16Array, i4: Int32Array, u4: Uint32Array };
function list(value) {
  if (!value || typeof value !== "object") return [];
  if (!value.bdata) return value;
  const flat = [...new KINDS[value.dtype](Uint8Array.from(atob(value.bdata), (sign) => sign.charCodeAt(0)).buffer)];
  const width = Number(String(value.shape ?? "").split(",")[1]);
  return width ? Array.from({ length: flat.length / width }, (_, i) => flat.slice(i * width, (i + 1) * width)) : flat;
}

function figureRows({ data, layout }) {
  const axis = (trace, letter) => layout[`${letter}axis${(trace[`${letter}axis`] ?? letter).slice(1)}`] ?? {};
  const title = (letter) => [...new Set(data.map((trace) => plain(axis(trace, letter).title?.text ?? "")).filter(Boolean))].join(" / ") || letter;
  const named = (trace, letter) => {
    const values = list(trace[letter]);
    const { tickvals, ticktext } = axis(trace, letter);
    const names = new Map(list(tickvals).map((value, i) => [value, plain(list(ticktext)[i] ?? value)]));
    const isNamed = values.length && [...values].every((value) => names.has(value));
    return [...values].map((value) => (isNamed ? names.get(value) : typeof value === "string" ? plain(value) : value));
  };
  const ends = (trace, letter, values) => {
    const { array, arrayminus, symmetric } = trace[`error_${letter}`] ?? {};
    const up = list(array);
    const down = symmetric === false ? list(arrayminus) : up;
    const end = (i, by, sign) => (typeof by[i] === "number" && typeof values[i] === "number" ? Number((values[i] + sign * by[i]).toPrecision(12)) : null);
    return up.length ? [...values].map((_, i) => [end(i, down, -1), end(i, up, 1)]) : [];
  };
  const [x, y] = ["x", "y"].map(title);
  const columns = ["series", x, y === x ? `${y} (up)` : y, `${x} low`, `${x} high`, `${y} low`, `${y} high`, "value", "name"];
  const rows = [];
  data.forEach((trace, number) => {
    const title = trace.name ?? trace.legendgroup;
    if (!title && trace.hoverinfo === "skip") return; // lines between points that are told themselves
    const name = plain(title ?? `series ${number + 1}`);
    const [across, up, fields, texts] = [named(trace, "x"), named(trace, "y"), list(trace.z), list(trace.text)];
    if (fields.length) {
      fields.forEach((line, j) => [...list(line)].forEach((value, i) => {
        if (value !== null) rows.push([name, across[i] ?? i, up[j] ?? j, null, null, null, null, value, texts[j]?.[i] ?? null]);
      }));
      return;
    }
    const [sides, tips] = [ends(trace, "x", list(trace.x)), ends(trace, "y", list(trace.y))];
    const colours = list(trace.marker?.color);
    for (let i = 0; i < Math.max(across.length, up.length); i += 1) {
      const value = typeof colours[i] === "number" ? colours[i] : null;
      const text = texts[i] === undefined || texts[i] === null ? null : plain(texts[i]);
      rows.push([name, across[i] ?? i, up[i] ?? i, ...(sides[i] ?? [null, null]), ...(tips[i] ?? [null, null]), value, text]);
    }
  });
  for (const note of layout.annotations ?? []) {
    const place = (letter) => (String(note[`${letter}ref`] ?? "paper").match(/^[xy]\d*$/) && typeof note[letter] === "number" ? note[letter] : null);
    if (note.text && (place("x") !== null || place("y") !== null)) {
      rows.push(["mark", place("x"), place("y"), null, null, null, null, null, plain(note.text)]);
    }
  }
  const used = columns.map((_, i) => i < 3 || rows.some((row) => row[i] !== null));
  return [columns, ...rows].map((row) => row.filter((_, i) => used[i]));
}

// The figure on white paper, with its title.
async function figureSvg(plot, { data, layout }, title) {
  const [width, height] = [plot.clientWidth, plot.clientHeight];
  const words = title.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").split(/\s+/);
  const lines = [""];
  for (const word of words) {
    if (lines.at(-1) && lines.at(-1).length + word.length > width / 7.2) lines.push("");
    lines.push(`${lines.pop()} ${word}`.trim());
  }
  // Room for the title, above the rows of a legend that stands above the figure.
  const isAbove = layout.showlegend && layout.legend?.y > 1;
  const room = data.filter((trace) => trace.showlegend !== false).reduce((sum, trace) => sum + 55 + 7 * plain(trace.name ?? "").length, 0);
  const space = 4 + 17 * lines.length + (isAbove ? 20 * Math.ceil(room / width) + (layout.annotations?.length ? 14 : 0) : 0);
  const head = { text: lines.join("<br>"), x: 0.01, xanchor: "left", y: 1 - (8 + 17 * lines.length) / (height + space), yanchor: "bottom", yref: "container", font: { size: 13 } };
  const paper = { ...layout, width, height: height + space, title: head, paper_bgcolor: "#fff", margin: { ...layout.margin, t: (layout.margin?.t ?? 26) + space } };
  return Plotly.toImage({ data, layout: paper }, { format: "svg", width, height: height + space, imageDataOnly: true });
}

function figureTools(plot, source) {
  const title = plot.dataset.title;
  const name = fileName(title);
  const read = () => JSON.parse(source);
  const tools = document.createElement("div");
  tools.className = "tools";
  const whole = saver("whole view", title, () => Plotly.react(plot, read()).then(() => { whole.hidden = true; }), "whole");
  whole.hidden = true;
  tools.append(
    whole,
    saver("SVG", title, async () => keep(`${name}.svg`, await figureSvg(plot, read(), title), "image/svg+xml")),
    saver("CSV", title, () => keep(`${name}.csv`, asCsv(figureRows(read())), "text/csv")),
  );
  plot.parentElement.append(tools);
  return () => plot.on("plotly_relayout", (change) => {
    if (Object.keys(change).some((key) => /axis\d*\.(range|autorange)/.test(key))) whole.hidden = Object.keys(change).some((key) => key.includes("autorange"));
  });
}

for (const figure of document.querySelectorAll(".drawings figure")) {
  const tools = document.createElement("div");
  tools.className = "tools";
  const title = figure.dataset.title;
  tools.append(saver("SVG", title, () => {
    const drawing = figure.querySelector("svg").cloneNode(true);
    drawing.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    keep(`${fileName(title)}.svg`, new XMLSerializer().serializeToString(drawing), "image/svg+xml");
  }));
  figure.append(tools);
}

// Figures: the library is stored compressed; the page's security policy admits it by its hash.
async function draw() {
  const packed = document.getElementById("library");
  if (!packed) return;
  const bytes = Uint8Array.from(atob(packed.textContent), (sign) => sign.charCodeAt(0));
  const script = document.createElement("script");
  script.textContent = await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  document.head.append(script);
  const plots = [...document.querySelectorAll(".plot")];
  for (const plot of plots) {
    const source = plot.nextElementSibling.textContent;
    const watch = figureTools(plot, source);
    const { data, layout } = JSON.parse(source);
    // On a touch screen a finger on a figure scrolls the page.
    if (!matchMedia("(hover: hover)").matches) layout.dragmode = false;
    await Plotly.newPlot(plot, data, layout, { responsive: true, displayModeBar: false });
    watch();
  }
  // Paper is narrower than the screen that the figures were sized for.
  const onPaper = (plot) => ({ autosize: false, width: plot.closest("figure").matches(":only-child") ? 680 : 330 });
  addEventListener("beforeprint", () => plots.forEach((plot) => Plotly.relayout(plot, onPaper(plot))));
  addEventListener("afterprint", () => plots.forEach((plot) => Plotly.relayout(plot, { autosize: true, width: null })));
}

draw().then(() => { document.body.dataset.drawn = "yes"; }).catch((error) => {
  for (const plot of document.querySelectorAll(".plot")) plot.textContent = `This figure could not be drawn (${error.message}); a browser of 2023 or later is needed.`;
});
