/* The table of runs: choosing many, completion of the filter. Everything works without it. */
(() => {
  "use strict";

  /* Choosing: one box for all, a span with shift, a count, and buttons that wait for a choice. */
  for (const form of document.querySelectorAll("form[data-choose]")) {
    const boxes = () => [...form.querySelectorAll('tbody input[name="run"]')];
    const head = form.querySelector("thead .pick.all"), count = form.querySelector("[data-count]");
    const all = document.createElement("input");
    all.type = "checkbox";
    all.setAttribute("aria-label", "Choose every run of this page");
    if (head) head.replaceChildren(all);
    let last = null;
    const told = () => {
      const chosen = boxes().filter((box) => box.checked).length;
      all.checked = chosen > 0 && chosen === boxes().length;
      all.indeterminate = chosen > 0 && !all.checked;
      if (count) count.textContent = chosen ? `${chosen} chosen` : "";
      for (const button of form.querySelectorAll("button[data-least]")) button.disabled = chosen < Number(button.dataset.least);
      form.classList.toggle("choosing", chosen > 0);
      for (const box of boxes()) box.closest("tr").classList.toggle("chosen", box.checked);
    };
    all.addEventListener("change", () => { for (const box of boxes()) box.checked = all.checked; told(); });
    form.addEventListener("click", (event) => {
      const box = event.target;
      if (box.name !== "run") return;
      if (event.shiftKey && last) {
        const list = boxes(), [from, to] = [list.indexOf(last), list.indexOf(box)].sort((a, b) => a - b);
        for (const one of list.slice(from, to + 1)) one.checked = box.checked;
      }
      last = box;
      told();
    });
    addEventListener("pageshow", told);
    told();
  }

  /* Completion: what may stand where the caret is, by the grammar of searches. */
  const input = document.querySelector("input[data-complete]");
  if (!input) return;
  const known = JSON.parse(document.getElementById(input.dataset.complete).textContent);
  const list = document.createElement("ul");
  list.className = "complete"; list.id = "complete-list"; list.hidden = true;
  list.setAttribute("role", "listbox");
  input.parentNode.appendChild(list);
  for (const [name, value] of [["role", "combobox"], ["aria-autocomplete", "list"], ["aria-expanded", "false"], ["aria-controls", list.id]]) input.setAttribute(name, value);
  let offers = [], at = -1;

  const bare = (name) => /^[A-Za-z_][A-Za-z0-9_.]*$/.test(name) ? name : name.includes("`") ? `"${name}"` : `\`${name}\``;
  const KEY = /^\s*(metrics|params|tags|attributes)\.(`[^`]*`|"[^"]*"|[^\s=<>!`"]+)/i;

  /* Return what can be put in place of the last `back` characters before the caret. */
  const offered = (text) => {
    const clause = text.split(/\bAND\b/i).pop(), put = (texts, back) => texts.map(([label, insert, hint]) => ({ label, insert, hint, back }));
    const open = clause.match(/^\s*(metrics|params|tags|attributes)\.([`"]?)([^`"=<>!]*)$/i);
    if (open && !(open[2] === "" && /\s$/.test(open[3]))) {
      const kind = open[1].toLowerCase(), part = open[3].toLowerCase();
      const names = known.names[kind].filter((name) => name.toLowerCase().includes(part));
      names.sort((a, b) => b.toLowerCase().startsWith(part) - a.toLowerCase().startsWith(part));
      return put(names.map((name) => [`${kind}.${name}`, `${kind}.${bare(name)} `, ""]), open[0].trimStart().length);
    }
    const key = clause.match(KEY);
    if (key) {
      const kind = key[1].toLowerCase(), rest = clause.slice(key[0].length);
      const operator = rest.match(/^\s+([A-Za-z!<>=]*)$/);
      if (operator) {
        const part = operator[1].toUpperCase();
        return put(known.operators[kind].filter((one) => one.startsWith(part) && one !== part).map((one) => [one, `${one} `, known.hints[one] || ""]), operator[1].length);
      }
      const value = rest.match(/^\s*(!=|=)\s*'?([a-zA-Z]*)$/);
      if (value && kind === "attributes" && /\.status$/i.test(key[0].replace(/[`"]/g, ""))) {
        return put(known.status.filter((one) => one.toLowerCase().startsWith(value[2].toLowerCase())).map((one) => [one, `'${one}' `, ""]), rest.match(/'?[a-zA-Z]*$/)[0].length);
      }
      if (/('[^']*'|"[^"]*"|\d|\)|NULL)\s+$/i.test(rest)) return put([["AND", "AND ", "and also"]], 0);
      const and = rest.match(/('[^']*'|"[^"]*"|\d|\)|NULL)\s+(A|AN)$/i);
      return and ? put([["AND", "AND ", "and also"]], and[2].length) : [];
    }
    const word = clause.match(/^\s*([A-Za-z_/-]*)$/);
    if (!word) return [];
    const part = word[1].toLowerCase();
    const entities = known.entities.filter(([name]) => name.startsWith(part)).map(([name, hint]) => [`${name}.`, `${name}.`, hint]);
    const direct = part ? Object.entries(known.names).flatMap(([kind, names]) => names.filter((name) => name.toLowerCase().includes(part)).map((name) => [`${kind}.${name}`, `${kind}.${bare(name)} `, ""])) : [];
    return put([...entities, ...direct], word[1].length);
  };

  const close = () => { list.hidden = true; at = -1; input.setAttribute("aria-expanded", "false"); input.removeAttribute("aria-activedescendant"); };
  const mark = (rank) => {
    at = rank;
    [...list.children].forEach((row, place) => row.setAttribute("aria-selected", String(place === rank)));
    if (rank >= 0) { input.setAttribute("aria-activedescendant", list.children[rank].id); list.children[rank].scrollIntoView({ block: "nearest" }); }
  };
  const open = () => {
    const caret = input.selectionStart ?? input.value.length;
    offers = offered(input.value.slice(0, caret)).slice(0, 50);
    if (!offers.length || document.activeElement !== input) { close(); return; }
    list.replaceChildren(...offers.map((one, rank) => {
      const row = document.createElement("li"), label = document.createElement("code");
      row.id = `complete-${rank}`;
      row.setAttribute("role", "option");
      label.textContent = one.label;
      row.append(label);
      if (one.hint) row.append(Object.assign(document.createElement("span"), { textContent: one.hint }));
      row.addEventListener("pointerdown", (event) => { event.preventDefault(); take(rank); });
      return row;
    }));
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    mark(-1);
  };
  const take = (rank) => {
    const one = offers[rank], caret = input.selectionStart ?? input.value.length;
    const before = input.value.slice(0, caret - one.back) + one.insert;
    input.value = before + input.value.slice(caret);
    input.setSelectionRange(before.length, before.length);
    open();
  };
  input.addEventListener("input", open);
  input.addEventListener("focus", open);
  input.addEventListener("click", open);
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    if (list.hidden) { if (event.key === "ArrowDown") { open(); event.preventDefault(); } return; }
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const step = event.key === "ArrowDown" ? 1 : -1;
      mark((at + step + offers.length + (at < 0 && step < 0 ? 1 : 0)) % offers.length);
      event.preventDefault();
    } else if ((event.key === "Enter" || event.key === "Tab") && at >= 0) {
      take(at);
      event.preventDefault();
    } else if (event.key === "Escape") { close(); event.preventDefault(); }
  });
})();
