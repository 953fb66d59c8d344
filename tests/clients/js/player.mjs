// What every JavaScript player shares; see ../players/player.py for what is said over standard input and output.
import readline from "node:readline";

/** `say(messages, stream)` gives { added: messages to append, text: what a user sees }; `user(text)` a user's message. */
export async function play(say, user) {
  const nodes = [];
  const one = async (line) => {
    const messages = line.from == null ? [] : [...nodes[line.from]];
    if (line.first) messages[0] = user(line.first);
    messages.push(user(line.text));
    try {
      const { added, text } = await say(messages, Boolean(line.stream));
      nodes.push([...messages, ...added]);
      return { node: nodes.length - 1, text };
    } catch (error) {
      return { error: `${error.name}: ${error.message}` };
    }
  };
  for await (const raw of readline.createInterface({ input: process.stdin })) {
    const line = JSON.parse(raw);
    const reply = line.race ? { race: await Promise.all(line.race.map(one)) } : await one(line);
    process.stdout.write(JSON.stringify(reply) + "\n");
  }
}
