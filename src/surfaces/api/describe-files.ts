import { describe, header, json } from "./describe.ts";
import { filesExample } from "./examples.ts";

const tag = "files";
const binary = { schema: { type: "string", format: "binary" } };
const fileHeaders = {
  ETag: header("Names this content"),
  "Accept-Ranges": header("bytes"),
  "Content-Disposition": header("The name of the file"),
};

export const listFiles = describe({
  id: "listFiles",
  tag,
  summary: "The files of a job",
  description: "What came with it, and after a run what the run left.",
  answers: { 200: { description: "The manifest", content: json("FileList", filesExample) } },
  refusals: ["not_found", "unavailable"],
});

export const getFile = describe({
  id: "getFile",
  tag,
  summary: "One file",
  parameters: [
    { name: "Range", in: "header", description: "One range of bytes", schema: { type: "string" } },
    { name: "If-None-Match", in: "header", description: "The ETag that is known", schema: { type: "string" } },
    { name: "If-Range", in: "header", description: "Take the range of this content only", schema: { type: "string" } },
  ],
  answers: {
    200: { description: "The file", content: { "*/*": binary }, headers: fileHeaders },
    206: {
      description: "The part",
      content: { "*/*": binary },
      headers: { ...fileHeaders, "Content-Range": header("Which part") },
    },
    304: { description: "It is the content that is known", headers: fileHeaders },
    416: {
      description: "The range lies beyond the end",
      content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
      headers: { "Content-Range": header("How long the file is") },
    },
  },
  refusals: ["not_found", "unavailable"],
});

export const getFilesZip = describe({
  id: "getFilesZip",
  tag,
  summary: "All files as a zip",
  answers: {
    200: {
      description: "The zip, written while it is sent",
      content: { "application/zip": binary },
      headers: { "Content-Disposition": header("The name of the zip") },
    },
  },
  refusals: ["not_found", "unavailable"],
});
