import "../styles/main.css";
import htmx from "htmx.org";
import { mountIslands } from "./registry";
import { csrfToken, personOnPage } from "./lib/csrf";
import { startDialogs } from "./lib/dialogs";
import { offerSignIn } from "./lib/expired";
import { startFirstError } from "./lib/first-error";
import { startHelp } from "./lib/help";
import { startNav } from "./lib/nav";
import { startOffline } from "./lib/offline";
import { announcePerson } from "./lib/person";
import { startTheme } from "./lib/theme";
import { showToast, startToasts } from "./lib/toast";

announcePerson();
startOffline(personOnPage());
startTheme();
startNav();
startDialogs();
startHelp();
startToasts();
startFirstError();

document.body.addEventListener("htmx:configRequest", (event) => {
  const { headers, verb } = (event as CustomEvent<{ headers: Record<string, string>; verb: string }>).detail;
  if (verb !== "get") headers["X-CSRFToken"] = csrfToken();
});
document.body.addEventListener("htmx:responseError", (event) => {
  const { xhr } = (event as CustomEvent<{ xhr: XMLHttpRequest }>).detail;
  if (xhr.status === 401) offerSignIn(xhr.getResponseHeader("X-Sign-In")?.split("?")[0] ?? "/sign-in/"); // not back to a piece of a page
  else if (xhr.status === 403) showToast("bad", "You are not allowed to do that.");
  else showToast("bad", `The server refused this (${xhr.status}). Nothing was changed.`);
});
document.body.addEventListener("htmx:sendError", () => showToast("bad", "The server can not be reached. Check the connection and try again."));

mountIslands(document);
document.body.addEventListener("htmx:load", (event) => mountIslands((event as CustomEvent<{ elt: Element }>).detail.elt));

Object.assign(window, { htmx });
