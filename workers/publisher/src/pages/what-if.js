// Asks for the tariff whenever a feature changes, and shows it with what each input adds.
"use strict";

const form = document.getElementById("features");
const at = (id) => document.getElementById(id);
const INPUTS = {
  intercept: "Everybody", is_organic: "Without advertising", child_age: "Child’s age", ip_country: "Country by address",
  device_country: "Country of the device", device_language: "Language", platform: "Platform", platform_store: "Store",
  smartphone_brand: "Brand", child_smartphone_brand: "Child’s brand",
};
let asked = 0;
let last = null;
let timer = 0;

function features() {
  const given = Object.fromEntries(new FormData(form));
  const { rounding, language, ...rest } = given;
  return { rounding, language, body: { ...rest, is_organic: form.elements.is_organic.checked ? 1 : 0, child_age: Number(given.child_age) } };
}

async function update() {
  const { rounding, language, body } = features();
  at("age").textContent = body.child_age;
  const number = ++asked;
  try {
    const query = new URLSearchParams({ rounding, language });
    const answer = await ask(`/offers/what-if?${query}`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    // An answer that was overtaken by a newer one says nothing any more.
    if (number === asked) show(answer, language);
  } catch (error) {
    if (number === asked) tell(error, update);
  }
}

function show(answer, language) {
  tell(null);
  const { price, term_months: term } = answer.commercial;
  at("price").textContent = `${price} ₽`;
  at("term").textContent = `a month, for ${term} ${term === 1 ? "month" : "months"}`;
  const step = last === null ? 0 : price - last;
  if (step !== 0) {
    at("change").textContent = `${step > 0 ? "+" : "−"}${Math.abs(step)} ₽`;
    at("change").className = `change ${step > 0 ? "gain" : "loss"}`;
  } else {
    at("change").textContent = "";
  }
  last = price;
  at("raw").textContent = `Raw scores: ${answer.scores.cost.toFixed(2)} roubles, ${answer.scores.subscription.toFixed(2)} months`;
  at("unseen").hidden = !answer.unseen_category;
  at("functions").replaceChildren(...Object.entries(FUNCTIONS).map(([name, title]) => line(title, answer.scores[`function_${name}`], answer.selected_functions.includes(name))));
  at("description").textContent = answer.description;
  at("description").lang = language;
  at("model").textContent = answer.model_version;
  why(answer.why);
}

function line(title, score, isOn) {
  const fill = make("span", { class: "fill" });
  fill.style.width = `${Math.round(score * 100)}%`;
  return make("li", { class: isOn && "on" },
    make("span", { class: "mark", "aria-hidden": "true" }, "✓"),
    make("span", { class: "name" }, title, make("span", { class: "small soft" }, isOn ? " · included" : "")),
    make("span", { class: "number small" }, `${Math.round(score * 100)} %`),
    make("span", { class: "track", "aria-hidden": "true" }, fill));
}

function why(reasons) {
  at("no-why").hidden = Boolean(reasons);
  at("why").hidden = !reasons;
  if (!reasons) return;
  // The intercept is the same for everybody and would dwarf the rest.
  const most = Math.max(1, ...reasons.filter(({ input }) => input !== "intercept").map(({ adds }) => Math.abs(adds.cost)));
  const rows = reasons.map(({ input, value, adds }) => {
    const given = { is_organic: form.elements.is_organic.checked ? "yes" : "no", child_age: form.elements.child_age.value };
    const share = input === "intercept" ? 0 : adds.cost / most;
    const width = Math.abs(share) * 50;
    const bar = make("svg", { viewBox: "0 0 100 14", preserveAspectRatio: "none", "aria-hidden": "true" },
      make("rect", { class: share < 0 ? "minus" : "plus", x: share < 0 ? 50 - width : 50, y: 2, width, height: 10 }),
      make("line", { class: "axis", x1: 50, x2: 50, y1: 0, y2: 14 }));
    const amount = Math.abs(adds.cost).toFixed(1);
    const sign = amount === "0.0" || input === "intercept" ? "" : adds.cost < 0 ? "−" : "+";
    const roubles = `${sign}${amount}`;
    return make("tr", {},
      make("td", {}, INPUTS[input] || input), make("td", {}, value ?? given[input] ?? "–"),
      make("td", { class: "number" }, roubles), make("td", { class: "bar" }, bar));
  });
  at("why").tBodies[0].replaceChildren(...rows);
}

function later() {
  at("age").textContent = form.elements.child_age.value;
  clearTimeout(timer);
  timer = setTimeout(update, 120);
}
form.addEventListener("input", later);
form.addEventListener("reset", later);
form.addEventListener("submit", (event) => { event.preventDefault(); update(); });
update();
