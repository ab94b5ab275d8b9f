"use client";

import { type FormEvent, useState } from "react";

// Frozen into the script when the image is built.
const API_URL = process.env.NEXT_PUBLIC_API_URL ?? "";

type State = { kind: "idle" | "sending" } | { kind: "sent"; id: string } | { kind: "failed"; why: string };

export default function SupportForm() {
  const [state, setState] = useState<State>({ kind: "idle" });

  async function send(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    setState({ kind: "sending" });
    try {
      const response = await fetch(`${API_URL}/api/tickets`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ email: form.get("email"), subject: form.get("subject"), body: form.get("body") }),
      });
      if (!response.ok) throw new Error(`the API answered ${response.status}`);
      const ticket: { id: string } = await response.json();
      setState({ kind: "sent", id: ticket.id });
    } catch (error) {
      setState({ kind: "failed", why: error instanceof Error ? error.message : "no answer" });
    }
  }

  return (
    <main>
      <h1>Helpdesk</h1>
      <form onSubmit={send}>
        <input name="email" type="email" placeholder="you@example.com" aria-label="Email" required />
        <input name="subject" placeholder="Subject" aria-label="Subject" required maxLength={200} />
        <textarea name="body" rows={6} placeholder="What happened?" aria-label="Message" required />
        <button disabled={state.kind === "sending"}>Send</button>
      </form>
      {state.kind === "sent" && <p role="status">Ticket {state.id} is on its way.</p>}
      {state.kind === "failed" && <p role="alert">Not sent: {state.why}.</p>}
    </main>
  );
}
