import { personOnPage } from "./csrf";

const KEY = "dreamfork.person";

/** Every page says whose it is, so that a page of someone else in the same browser notices. */
export function announcePerson(): void {
  const person = personOnPage();
  if (!person) return;
  try {
    localStorage.setItem(KEY, person);
  } catch {
    // Blocked storage: then the server's refusals have to tell.
  }
}

/** Whether somebody else has signed in in this browser since. Requests of this page would be made in their name. */
export function someoneElse(person: string): boolean {
  try {
    const now = localStorage.getItem(KEY);
    return now !== null && now !== person;
  } catch {
    return false;
  }
}
