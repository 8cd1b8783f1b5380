// What both pages share: asking the server, with the token where one is needed, and making elements.
"use strict";

const TOKEN = "headrace-token";

/** An element with attributes and children; texts are texts, never markup. */
function make(name, attributes = {}, ...children) {
  const isDrawing = ["svg", "path", "rect", "line"].includes(name);
  const element = isDrawing ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** Asks the server for JSON; a problem becomes an error with its detail. */
async function ask(path, options = {}) {
  const token = sessionStorage.getItem(TOKEN);
  const headers = { ...options.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  const response = await fetch(path, { ...options, headers });
  const body = await response.json().catch(() => ({}));
  if (response.ok) return body;
  const error = new Error(body.detail || `the server answered ${response.status}`);
  error.status = response.status;
  throw error;
}

/** Shows an error above the page, or nothing; asks for a token where one is missing. */
function tell(error, again) {
  const message = document.getElementById("message");
  message.hidden = !error;
  message.textContent = error ? error.message : "";
  const form = document.getElementById("token");
  form.hidden = !(error && error.status === 401);
  form.onsubmit = (event) => {
    event.preventDefault();
    sessionStorage.setItem(TOKEN, form.elements.token.value.trim());
    again();
  };
}

const FUNCTIONS = {
  map: "More saved places on the map",
  ignore_sound: "Ringing through silent mode",
  listen_sound: "Listening to the surroundings",
  detailed_routes: "Detailed route map",
  sos_signal: "SOS signal",
  invite_second_parent: "Inviting a second parent",
};
