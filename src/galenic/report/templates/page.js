"use strict";

// Tables: sort by a heading, search, and choose one value of a column.
for (const box of document.querySelectorAll(".table")) {
  const body = box.querySelector("tbody");
  const heads = [...box.querySelectorAll("th")];
  const rows = [...body.rows];
  const key = (row, i) => row.cells[i].dataset.sort ?? row.cells[i].textContent;
  const tests = [];
  const show = () => rows.forEach((row) => { row.hidden = !tests.every((test) => test(row)); });

  heads.forEach((head, i) => {
    const isNumber = rows.some((row) => "sort" in row.cells[i].dataset);
    head.classList.toggle("number", isNumber);
    const button = document.createElement("button");
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
    const select = document.createElement("select");
    select.setAttribute("aria-label", name);
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
    input.setAttribute("aria-label", "search this table");
    input.oninput = show;
    tests.push((row) => row.textContent.toLowerCase().includes(input.value.trim().toLowerCase()));
    tools.append(input);
  }
  if (tests.length) {
    box.prepend(tools);
    show();
  }
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
    const { data, layout } = JSON.parse(plot.nextElementSibling.textContent);
    await Plotly.newPlot(plot, data, layout, {
      responsive: true,
      displaylogo: false,
      displayModeBar: matchMedia("(hover: hover)").matches ? "hover" : false,
      modeBarButtons: [["toImage", "resetScale2d"]],
      toImageButtonOptions: { format: "svg", filename: plot.getAttribute("aria-label").replace(/\W+/g, "-") },
    });
  }
  // Paper is narrower than the screen that the figures were sized for.
  const onPaper = (plot) => ({ autosize: false, width: plot.parentElement.matches(":only-child") ? 680 : 330 });
  addEventListener("beforeprint", () => plots.forEach((plot) => Plotly.relayout(plot, onPaper(plot))));
  addEventListener("afterprint", () => plots.forEach((plot) => Plotly.relayout(plot, { autosize: true, width: null })));
}

draw().catch((error) => {
  for (const plot of document.querySelectorAll(".plot")) plot.textContent = `This figure could not be drawn (${error.message}); a browser of 2023 or later is needed.`;
});
