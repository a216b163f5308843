// The official `openai` SDK with the session as base URL and its token as key: turns, streams, tool loops, chains.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import OpenAI from "openai";
import { OWNER_KEY, says, World } from "./world.mjs";

let world;
before(async () => {
  world = await World.start();
});
after(() => world?.stop());

function client(session, options = {}) {
  const baseURL = `${world.url}/api/v1/agents/sessions/${session.session_id}`;
  return new OpenAI({ baseURL, apiKey: session.session_token, maxRetries: 0, ...options });
}

const texts = async () => (await world.history()).map((messages) => messages.map((message) => message.content));

async function all(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

test("a turn", async () => {
  await world.play(says("Phi-4 ", "mini."));
  const session = await world.session();
  const response = await client(session).responses.create({ model: "tiny", input: "Which?" });
  assert.equal(response.output_text, "Phi-4 mini.");
  assert.equal(response.status, "completed");
  assert.equal(response.model, "tiny");
  assert.equal(response.usage.total_tokens, response.usage.input_tokens + response.usage.output_tokens);
  const [step, ...more] = await world.steps(session);
  assert.deepEqual([step.kind, step.status, more.length], ["model_turn", "completed", 0]);
});

test("a raw stream", async () => {
  await world.play(says("one ", "two"));
  const stream = await client(await world.session()).responses.create({ model: "tiny", input: "Count.", stream: true });
  const events = await all(stream);
  assert.deepEqual(
    events.map((event) => event.type),
    [
      "response.created",
      "response.in_progress",
      "response.output_item.added",
      "response.content_part.added",
      "response.output_text.delta",
      "response.output_text.delta",
      "response.output_text.done",
      "response.content_part.done",
      "response.output_item.done",
      "response.completed",
    ],
  );
  assert.deepEqual(
    events.map((event) => event.sequence_number),
    events.map((_, index) => index),
  );
  assert.equal(events.at(-1).response.output[0].content[0].text, "one two");
});

test("the stream helper", async () => {
  await world.play({ otherwise: { parts: [{ reasoning: ["let ", "me see"] }, { text: ["one ", "two"] }] } });
  const session = await world.session();
  const stream = client(session).responses.stream({ model: "tiny", input: "Count." });
  let said = "";
  stream.on("response.output_text.delta", (event) => (said += event.delta));
  const response = await stream.finalResponse();
  assert.equal(said, "one two");
  assert.equal(response.output_text, "one two");
  assert.deepEqual(
    response.output.map((item) => item.type),
    ["reasoning", "message"],
  );
  await world.play(says("three"));
  const more = { model: "tiny", input: "On.", previous_response_id: response.id };
  assert.equal((await client(session).responses.create(more)).output_text, "three");
  assert.deepEqual(await texts(), [["Count.", "one two", "On."]]);
});

for (const streamed of [false, true]) {
  test(`a tool loop, ${streamed ? "streamed" : "whole"}`, async () => {
    await world.play({
      rules: [{ when: { tool_result: true }, reply: { parts: [{ text: ["It is gguf."] }] } }],
      otherwise: { parts: [{ tool_call: { name: "get_model", arguments: { model_id: "phi-4" } } }] },
    });
    const session = await world.session();
    const { responses } = client(session);
    const turn = (more) =>
      streamed
        ? responses.stream({ model: "tiny", ...more }).finalResponse()
        : responses.create({ model: "tiny", ...more });
    const first = await turn({ input: "Which framework?" });
    const [call] = first.output;
    assert.deepEqual([call.type, call.name, JSON.parse(call.arguments)], ["function_call", "get_model", { model_id: "phi-4" }]);
    const body = { tool_name: call.name, arguments: JSON.parse(call.arguments), tool_call_id: call.call_id };
    const execute = `/sessions/${session.session_id}/execute`;
    const executed = (await world.ask("POST", execute, body, session.session_token)).body;
    assert.equal(executed.is_error, false);
    const output = { type: "function_call_output", call_id: call.call_id, output: executed.content };
    const second = await turn({ input: [output], previous_response_id: first.id });
    assert.equal(second.output_text, "It is gguf.");
    const last = (await world.history()).at(-1);
    assert.deepEqual(
      last.map((message) => message.role),
      ["user", "assistant", "tool"],
    );
    assert.deepEqual(
      (await world.steps(session)).map((step) => step.kind),
      ["model_turn", "tool_call", "model_turn"],
    );
  });
}

for (const streamed of [false, true]) {
  test(`tools that the server runs, ${streamed ? "streamed" : "whole"}`, async () => {
    await world.play({
      rules: [{ when: { tool_result: true }, reply: { parts: [{ text: ["It is gguf."] }] } }],
      otherwise: { parts: [{ tool_call: { name: "get_model", arguments: { model_id: "phi-4" } } }] },
    });
    const session = await world.session();
    const { responses } = client(session);
    const body = { model: "tiny", input: "Which framework?", tool_execution: "server" };
    // The helper refuses event types that it does not know.
    const response = await (streamed ? responses.stream(body).finalResponse() : responses.create(body));
    assert.deepEqual(
      response.output.map((item) => [item.type, item.status]),
      [
        ["mcp_call", "completed"],
        ["message", "completed"],
      ],
    );
    assert.equal(response.output_text, "It is gguf.");
    assert.equal(JSON.parse(response.output[0].output).result.body.id, "phi-4");
    assert.deepEqual(
      (await world.steps(session)).map((step) => step.kind),
      ["model_turn", "tool_call", "model_turn"],
    );
  });

  test(`a gated tool that the server runs, ${streamed ? "streamed" : "whole"}`, async () => {
    await world.play({
      rules: [{ when: { tool_result: true }, reply: { parts: [{ text: ["Deployed."] }] } }],
      otherwise: { parts: [{ tool_call: { name: "deploy_model", arguments: { model_id: "phi-4" } } }] },
    });
    const { responses } = client(await world.session());
    const turn = (more) => {
      const body = { model: "tiny", tool_execution: "server", ...more };
      return streamed ? responses.stream(body).finalResponse() : responses.create(body);
    };
    const waiting = await turn({ input: "Deploy." });
    assert.deepEqual([waiting.status, waiting.output[0].type], ["completed", "mcp_approval_request"]);
    const approval = `/approvals/${waiting.metadata.approval_ids}/resolve`;
    assert.equal((await world.ask("POST", approval, { decision: "approve" }, OWNER_KEY)).status, 200);
    const deployed = await turn({ input: [], previous_response_id: waiting.id });
    assert.equal(deployed.output_text, "Deployed.");
    assert.equal((await world.history()).length, 2);
  });
}

test("a refusal's code", async () => {
  const { responses } = client(await world.session());
  const turn = responses.create({ model: "tiny", input: "hi", previous_response_id: "resp_x" });
  await assert.rejects(
    async () => turn,
    (error) => error instanceof OpenAI.NotFoundError && error.code === "previous_response_not_found",
  );
});

test("a chain and its forks", async () => {
  await world.play({ otherwise: { parts: [{ text: ["re: "] }, { echo: "last_user" }] } });
  const { responses } = client(await world.session());
  const turn = (input, previous) => responses.create({ model: "tiny", input, previous_response_id: previous?.id });
  const root = await turn("root");
  const left = await turn("left", root);
  const right = await turn("right", root);
  await turn("more", left);
  assert.equal(right.previous_response_id, root.id);
  assert.deepEqual(await texts(), [
    ["root"],
    ["root", "re: root", "left"],
    ["root", "re: root", "right"],
    ["root", "re: root", "left", "re: left", "more"],
  ]);
});

test("unknown and foreign responses", async () => {
  await world.play(says("one"));
  const foreign = await client(await world.session()).responses.create({ model: "tiny", input: "hi" });
  const { responses } = client(await world.session());
  for (const id of [foreign.id, `resp_${"0".repeat(32)}`, "resp_x"]) {
    for (const stream of [false, true]) {
      const turn = responses.create({ model: "tiny", input: "hi", previous_response_id: id, stream });
      await assert.rejects(async () => turn, OpenAI.NotFoundError);
    }
  }
  assert.equal((await world.history()).length, 1);
});

test("another model is refused and not tried again", async () => {
  let sent = 0;
  const counted = (...request) => {
    sent += 1;
    return fetch(...request);
  };
  const { responses } = client(await world.session(), { maxRetries: 2, fetch: counted });
  await assert.rejects(async () => responses.create({ model: "gpt-5", input: "hi" }), OpenAI.ConflictError);
  assert.equal(sent, 1);
});

test("a failed turn", async () => {
  await world.play({ otherwise: { error: { kind: "invalid" } } });
  const { responses } = client(await world.session());
  const response = await responses.create({ model: "tiny", input: "hi" });
  assert.equal(response.status, "failed");
  assert.equal(response.error.code, "server_error");
  const final = await responses.stream({ model: "tiny", input: "hi" }).finalResponse();
  assert.equal(final.status, "failed");
});

test("keys and tokens", async () => {
  await world.play(says("ok"));
  const [session, other] = [await world.session(), await world.session()];
  const turn = (apiKey) => client(session, { apiKey }).responses.create({ model: "tiny", input: "hi" });
  assert.equal((await turn(OWNER_KEY)).output_text, "ok");
  await assert.rejects(() => turn(other.session_token), OpenAI.NotFoundError);
  await assert.rejects(() => turn("sk-unknown"), OpenAI.AuthenticationError);
  const done = { summary: "Done.", confidence: null, evidence: [], next_steps: [] };
  await world.ask("POST", `/sessions/${session.session_id}/complete`, done, session.session_token);
  await assert.rejects(() => turn(session.session_token), OpenAI.ConflictError);
});
