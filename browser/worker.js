// Decodes in a worker. Messages to it: { module }, { job, bytes, options }, { id, weights } or { id, error }. From it:
// { need: id }, { job, stage, picture }, { job, picture } or { job, error }.

import { revive } from "./decoder/errors.js";
import { Engine } from "./decoder/engine.js";

let engine;
const wanted = new Map(); // id -> { resolve, reject }

onmessage = ({ data }) => {
  if (data.module) {
    engine = Engine.create(data.module);
    engine.catch(() => {}); // each job reports it
  } else if (data.id) settle(data);
  else decode(data);
};

function settle({ id, weights, error }) {
  const { resolve, reject } = wanted.get(id);
  wanted.delete(id);
  if (error) reject(revive(error));
  else resolve(weights);
}

function find(id) {
  return new Promise((resolve, reject) => {
    wanted.set(id, { resolve, reject });
    postMessage({ need: id });
  });
}

async function decode({ job, bytes, options: { stages, ...options } }) {
  try {
    const onStage = stages ? (picture, stage) => send({ job, stage }, picture) : undefined;
    send({ job }, await (await engine).decode(bytes, find, { ...options, onStage }));
  } catch ({ name, message }) {
    postMessage({ job, error: { name, message } });
  }
}

function send(message, { data, width, height, mode, share, complete }) {
  postMessage({ ...message, picture: { data, width, height, mode, share, complete } }, [data.buffer]);
}
