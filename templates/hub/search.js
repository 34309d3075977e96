"use strict";
// The page of all models as a file: shows those that have every word of the search.
{
  const at = (name) => document.getElementById(`page.${name}`);
  const cards = [...document.querySelectorAll("[data-search]")];
  const show = () => {
    const words = at("query").value.toLowerCase().split(/\s+/).filter(Boolean);
    let hits = 0;
    for (const card of cards) {
      card.hidden = !words.every((word) => card.dataset.search.includes(word));
      hits += !card.hidden;
    }
    at("hits").textContent = `${hits.toLocaleString("en")} ${hits === 1 ? "model" : "models"}`;
    at("none").hidden = hits > 0;
  };
  at("search").hidden = false;
  at("search").addEventListener("submit", (event) => event.preventDefault());
  at("query").addEventListener("input", show);
  if (at("query").value) show(); // browsers keep it when a page is loaded again
}
