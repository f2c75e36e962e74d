"use strict";
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const stored = {
    // A page opened from disk may be denied its storage.
    get() { try { return localStorage.getItem("faultbench-theme"); } catch { return null; } },
    set(theme) { try { localStorage.setItem("faultbench-theme", theme); } catch { /* then it lasts until closed */ } },
  };

  function theme() {
    const root = document.documentElement, button = document.getElementById("theme");
    const dark = matchMedia("(prefers-color-scheme: dark)");
    if (stored.get()) root.dataset.theme = stored.get();
    button.hidden = false;
    button.addEventListener("click", () => {
      const now = root.dataset.theme || (dark.matches ? "dark" : "light");
      root.dataset.theme = now === "dark" ? "light" : "dark";
      stored.set(root.dataset.theme);
    });
  }

  function value(row, column, kind) {
    const cell = row.cells[column];
    if (kind === "text") return cell.textContent.trim();
    return parseFloat(cell.dataset.v ?? cell.textContent.replaceAll(",", ""));
  }

  function compare(a, b, kind) {
    return kind === "text" ? a.localeCompare(b, undefined, { numeric: true }) : a - b;
  }

  function sort(table, head) {
    const column = head.cellIndex, kind = head.dataset.kind, body = table.tBodies[0];
    // Numbers start with the highest; unknown values stay at the end in either order.
    const first = kind === "text" ? "ascending" : "descending";
    const other = first === "ascending" ? "descending" : "ascending";
    const order = head.getAttribute("aria-sort") === first ? other : first;
    all("th", head.parentNode).forEach((th) => th.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", order);
    const rows = [...body.rows].map((row) => [value(row, column, kind), row]);
    const unknown = (v) => Number.isNaN(v);
    rows.sort(([a], [b]) => unknown(a) || unknown(b) ? unknown(a) - unknown(b) : compare(a, b, kind) * (order === "ascending" ? 1 : -1));
    body.append(...rows.map(([, row]) => row));
  }

  function filter(input) {
    const table = document.getElementById(input.dataset.filters), count = input.parentNode.querySelector(".count");
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = [...table.tBodies[0].rows];
    for (const row of rows) {
      row.dataset.text ??= [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase();
      row.hidden = !words.every((word) => row.dataset.text.includes(word));
    }
    count.textContent = words.length ? `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows` : "";
  }

  const tip = document.getElementById("tip");

  function show(column, x, y) {
    const hidden = new Set(all(".curve.off", column.ownerSVGElement).map((curve) => curve.dataset.series));
    const values = JSON.parse(column.dataset.values).filter(([, series]) => !hidden.has(String(series)));
    place(column.dataset.title, values, x, y);
  }

  function place(heading, values, x, y) {
    const title = document.createElement("strong"), table = document.createElement("table");
    title.textContent = heading;
    for (const [label, series, mean, small] of values) {
      const row = table.insertRow(), swatch = document.createElement("i");
      swatch.style.background = `var(--s${series})`;
      row.insertCell().append(swatch);
      for (const text of [label, mean, small]) row.insertCell().textContent = text;
    }
    tip.replaceChildren(title, table);
    tip.hidden = false;
    const box = tip.getBoundingClientRect(), left = x + 16 + box.width > innerWidth ? x - 16 - box.width : x + 16;
    tip.style.left = `${Math.max(4, left)}px`;
    tip.style.top = `${Math.max(4, Math.min(y + 16, innerHeight - box.height - 4))}px`;
  }

  function hovers(column) {
    column.addEventListener("pointermove", (event) => show(column, event.clientX, event.clientY));
    column.addEventListener("focus", () => {
      const box = column.getBoundingClientRect();
      show(column, box.left + box.width / 2, box.top + box.height / 3);
    });
    for (const kind of ["pointerleave", "blur"]) column.addEventListener(kind, () => { tip.hidden = true; });
  }

  function maps(svg) {
    const left = Number(svg.dataset.left), bits = Number(svg.dataset.bits), rows = JSON.parse(svg.dataset.rows);
    const values = JSON.parse(svg.dataset.values);
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect(), scale = svg.viewBox.baseVal.width / box.width;
      const column = Math.floor(((event.clientX - box.left) * scale - left) / 8);
      const row = Math.floor(((event.clientY - box.top) * scale - 4) / 16), bit = bits - 1 - column;
      if (bit < 0 || bit >= bits || row < 0 || row >= rows.length) { tip.hidden = true; return; }
      place(`${rows[row]}, bit ${bit}`, ["0→1", "1→0"].map((direction, half) => {
        const [n, before, after, lost, low, high, code] = values[(2 * row + half) * bits + bit];
        if (!n) return [direction, "hx", "–", "no trial holds one"];
        const points = (part) => (part / 10).toFixed(1).replace("-", "−");
        const ends = [low, high].map((end) => Math.round(end / 10)).join(", ").replaceAll("-", "−");
        const text = `[${ends}] points; ${points(after)} with it (${n} trials), ${points(before)} without`;
        return [direction, `h${code === 10 ? "q" : code === 11 ? "x" : code}`, points(lost), text];
      }), event.clientX, event.clientY);
    });
    svg.addEventListener("pointerleave", () => { tip.hidden = true; });
  }

  function legend(button) {
    const off = button.getAttribute("aria-pressed") === "true";
    button.setAttribute("aria-pressed", String(!off));
    const curve = button.closest(".chart").querySelector(`.curve[data-series="${button.dataset.series}"]`);
    curve.classList.toggle("off", off);
  }

  function choose(group) {
    const tables = all(".matrix", group), buttons = all(".choices button", group);
    const pick = (number) => {
      tables.forEach((table, index) => { table.style.display = index === number ? "" : "none"; });
      buttons.forEach((button, index) => button.setAttribute("aria-pressed", String(index === number)));
    };
    group.querySelector(".choices").hidden = buttons.length < 2;
    buttons.forEach((button, index) => button.addEventListener("click", () => pick(index)));
    pick(buttons.length - 1);
  }

  function copies(button) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const text = button.parentNode.querySelector("pre");
      try {
        await navigator.clipboard.writeText(text.textContent);
        button.textContent = "copied";
      } catch {
        getSelection().selectAllChildren(text);
        button.textContent = "selected";
      }
      setTimeout(() => { button.textContent = "copy"; }, 1500);
    });
  }

  theme();
  all("table.sortable").forEach((table) =>
    all("thead th[data-kind] button", table).forEach((button) =>
      button.addEventListener("click", () => sort(table, button.parentNode))));
  all("input[data-filters]").forEach((input) => {
    input.parentNode.hidden = false;
    input.addEventListener("input", () => filter(input));
  });
  all(".column").forEach(hovers);
  all("svg.harm").forEach(maps);
  all(".legend button").forEach((button) => button.addEventListener("click", () => legend(button)));
  all(".matrices").forEach(choose);
  all(".copy").forEach(copies);
  addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });
  addEventListener("beforeprint", () => all("details").forEach((part) => { part.open = true; }));
})();
