// The OpenAI JavaScript SDK, by package name (openai is 7.x, openai6 is 6.x); `.stream()` collects streams.
import { play } from "./player.mjs";

const [baseURL, model, packageName] = process.argv.slice(2);
const { default: OpenAI } = await import(packageName);
const client = new OpenAI({ baseURL, apiKey: "unused" });

async function say(messages, stream) {
  const message = stream
    ? await client.chat.completions.stream({ model, messages }).finalMessage()
    : (await client.chat.completions.create({ model, messages })).choices[0].message;
  return { added: [message], text: message.content };
}

await play(say, (content) => ({ role: "user", content }));
