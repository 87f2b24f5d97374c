// The registered models by their numbers, written by `python -m tools.browser` from weights/manifest.json.

export const MODELS = Object.freeze({
  0: { name: "standard", id: "ff899802" },
  1: { name: "paper", id: "30049bbc" },
  2: { name: "light", id: "944ff92b" },
});
