// Looks once a second at what scoring does, while the page is seen and not paused.
"use strict";

const EVERY_MS = 1000;
const POINTS = 60;
const at = (id) => document.getElementById(id);
const count = new Intl.NumberFormat("en-US");
const SHOWN_FEATURES = 6;
const SHOWN_REASONS = 12;
const rates = [];
let allFeatures = false;
let paused = false;
let looking = false;

function number(value, digits = 0) {
  return value === null || value === undefined ? "–" : value.toLocaleString("en-US", { maximumFractionDigits: digits, minimumFractionDigits: digits });
}

/** Milliseconds as people read them. */
function span(milliseconds) {
  if (milliseconds === null || milliseconds === undefined) return "over 5 s";
  return milliseconds < 1000 ? `${number(milliseconds, milliseconds < 10 ? 1 : 0)} ms` : `${number(milliseconds / 1000, 1)} s`;
}

async function look() {
  if (looking || paused || document.hidden) return;
  looking = true;
  try {
    show(await ask("/offers/live/now"));
    tell(null);
    state("live", true);
  } catch (error) {
    tell(error.status ? error : new Error("the server does not answer; trying again"), look);
    state("not up to date", false);
  } finally {
    looking = false;
  }
}

function state(text, isOn) {
  if (at("state").textContent === text) return;
  at("state").replaceChildren(make("span", { class: `pulse${isOn ? "" : " off"}`, "aria-hidden": "true" }), text);
}

function show(now) {
  const { counters } = now;
  at("rate").textContent = now.per_second === null ? "–" : number(now.per_second, now.per_second < 10 ? 1 : 0);
  rates.push(now.per_second ?? 0);
  rates.splice(0, Math.max(0, rates.length - POINTS));
  spark();
  at("latency").textContent = now.latency ? span(now.latency.p50) : "–";
  at("latency-rest").textContent = now.latency
    ? `half of ${count.format(now.latency.count)}; 95 %: ${span(now.latency.p95)}, 99 %: ${span(now.latency.p99)}`
    : "no registration was waiting";
  at("offers").textContent = count.format(counters.offers);
  at("offers-rest").textContent = `${count.format(counters.accepted)} scored: ${count.format(counters.replaced)} replaced, ${count.format(counters.stale)} came late, ${count.format(counters.duplicate)} repeated`;
  at("letters").textContent = count.format(counters.dead_letter);
  const share = counters.read ? (100 * counters.dead_letter) / counters.read : 0;
  at("letters-rest").textContent = `${number(share, 2)} % of ${count.format(counters.read)} read; ${count.format(counters.unseen_category)} with an unseen category`;
  letters(now.dead_letters);
  newest(now.newest);
  drift(now.drift);
  at("model").textContent = now.model_version;
  at("lookups").textContent = now.lookups ? `${count.format(now.lookups.count)}, half within ${span(now.lookups.p50)}, 99 % within ${span(now.lookups.p99)}` : "none yet";
  at("at").textContent = now.at.replace("T", " ").replace("Z", " UTC");
}

function spark() {
  const most = Math.max(1, ...rates);
  const points = rates.map((rate, index) => `${POINTS - rates.length + index},${(44 - (40 * rate) / most).toFixed(1)}`);
  if (points.length < 2) return;
  const first = POINTS - rates.length;
  at("spark").replaceChildren(
    make("path", { class: "area", d: `M${first},46 L${points.join(" L")} L${POINTS - 1},46 Z` }),
    make("path", { d: `M${points.join(" L")}` }));
}

function letters(found) {
  at("no-letters").hidden = found.length > 0;
  at("reasons").hidden = found.length === 0;
  const most = Math.max(1, ...found.map((letter) => letter.count));
  const rest = found.slice(SHOWN_REASONS);
  const row = (name, total) => {
    const bar = make("svg", { viewBox: "0 0 100 14", preserveAspectRatio: "none", "aria-hidden": "true" },
      make("rect", { class: "minus", x: 0, y: 2, width: Math.min(100, (100 * total) / most), height: 10 }));
    return make("tr", {}, make("td", {}, name), make("td", { class: "number" }, count.format(total)), make("td", { class: "bar" }, bar));
  };
  const rows = found.slice(0, SHOWN_REASONS).map((letter) => row(word(letter.reason), letter.count));
  if (rest.length) rows.push(row(make("span", { class: "soft" }, `${rest.length} other reasons`), rest.reduce((sum, letter) => sum + letter.count, 0)));
  at("reasons").tBodies[0].replaceChildren(...rows);
}

/** A name of code that may be cut behind its underscores, and nowhere else. */
function word(name) {
  const parts = name.split("_").flatMap((part, index, all) => (index < all.length - 1 ? [`${part}_`, make("wbr")] : [part]));
  return make("code", {}, ...parts);
}

function newest(found) {
  at("no-offers").hidden = found.length > 0;
  at("rows").hidden = found.length === 0;
  at("rows").tBodies[0].replaceChildren(...found.map((offer) => {
    const chips = offer.selected_functions.map((name) => make("span", { class: "chip", title: FUNCTIONS[name] || name }, name.replaceAll("_", " ")));
    return make("tr", {},
      make("td", {}, String(offer.user_id)),
      make("td", { class: "number" }, `${offer.commercial.price} ₽`),
      make("td", { class: "number" }, String(offer.commercial.term_months)),
      make("td", {}, ...(chips.length ? chips : [make("span", { class: "soft" }, "none")])),
      make("td", { class: "number small" }, offer.scored_at.slice(11, 19)));
  }));
}

/** How far the registrations of the last hour are from those of training. */
function drift(found) {
  const known = found && found.registrations > 0;
  at("drifting").hidden = !known;
  at("all-features").hidden = !known || found.features.length <= SHOWN_FEATURES;
  if (!known) {
    at("drift-text").textContent = found
      ? "This model has scored nothing in this hour or the one before."
      : "The model's file does not tell how its training data were distributed; models of headrace scoring train do.";
    return;
  }
  const moved = found.features.filter((feature) => feature.state === "drifted").length;
  const shifted = found.features.filter((feature) => feature.state === "shifted").length;
  const tooFew = found.features.every((feature) => feature.state === "too few");
  const verdict = tooFew ? "too few to tell" : moved ? `${moved} drifted: train the model anew` : shifted ? `${shifted} shifted` : "all as in training";
  at("drift-text").textContent = `${count.format(found.registrations)} registrations looked at since ${found.since.slice(11, 16)} UTC: ${verdict}. ` +
    `Population stability index: from ${found.shifted_from} on shifted, from ${found.drifted_from} on drifted.`;
  const most = Math.max(2 * found.drifted_from, ...found.features.map((feature) => feature.index));
  const shown = allFeatures ? found.features : found.features.slice(0, SHOWN_FEATURES);
  at("drifting").tBodies[0].replaceChildren(...shown.map((feature) => {
    const bar = make("svg", { viewBox: "0 0 100 14", preserveAspectRatio: "none", "aria-hidden": "true" },
      make("rect", { class: feature.state === "drifted" ? "minus" : "plus", x: 0, y: 2, width: Math.max(0.6, (100 * feature.index) / most), height: 10 }),
      make("line", { class: "axis", x1: (100 * found.drifted_from) / most, x2: (100 * found.drifted_from) / most, y1: 0, y2: 14 }));
    const { bucket, trained, found: now } = feature.moved;
    return make("tr", {},
      make("td", {}, word(feature.feature)),
      make("td", { class: "bar" }, bar),
      make("td", { class: "number" }, number(feature.index, 3)),
      make("td", {}, make("span", { class: `chip state-${feature.state.replace(" ", "-")}` }, feature.state)),
      make("td", { class: "small" }, `${bucket}: ${number(100 * trained, 1)} % → ${number(100 * now, 1)} %`));
  }));
}

at("all-features").addEventListener("click", () => {
  allFeatures = !allFeatures;
  at("all-features").textContent = allFeatures ? "Show fewer" : "Show all";
  look();
});
at("pause").addEventListener("click", () => {
  paused = !paused;
  at("pause").setAttribute("aria-pressed", String(paused));
  at("pause").textContent = paused ? "Go on" : "Pause";
  if (paused) state("paused", false); else look();
});
document.addEventListener("visibilitychange", look);
setInterval(look, EVERY_MS);
look();
