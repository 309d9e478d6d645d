import type { Submit, UploadFile } from "./shapes.ts";

/** The form that brings a job with its files. */
export function jobForm(job: Submit, files: readonly UploadFile[]): FormData {
  const form = new FormData();
  form.append("job", JSON.stringify(job));
  for (const { name, content } of files) {
    form.append("file", content instanceof Blob ? content : new Blob([content]), name);
  }
  return form;
}
