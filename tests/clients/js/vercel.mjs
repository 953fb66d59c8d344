// Vercel's AI SDK with its openai-compatible provider: history is the messages that it returns.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, streamText } from "ai";
import { play } from "./player.mjs";

const [baseURL, model] = process.argv.slice(2);
const provider = createOpenAICompatible({ name: "pir", baseURL, apiKey: "unused" });

async function say(messages, stream) {
  const options = { model: provider(model), messages };
  if (!stream) {
    const result = await generateText(options);
    return { added: result.response.messages, text: result.text };
  }
  const result = streamText({ ...options, onError: () => {} });
  const text = await result.text;
  return { added: (await result.response).messages, text };
}

await play(say, (content) => ({ role: "user", content }));
