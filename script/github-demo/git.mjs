// Real repositories for the stand-in: bare ones on the disk, made, read and served by git itself.

import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, cpSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const ENV = {
  PATH: process.env.PATH,
  HOME: "/nonexistent",
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_AUTHOR_NAME: "Ana",
  GIT_AUTHOR_EMAIL: "ana@example.org",
  GIT_COMMITTER_NAME: "Ana",
  GIT_COMMITTER_EMAIL: "ana@example.org",
};

export class Git {
  constructor(root) {
    this.root = root;
  }

  folder(name) {
    return join(this.root, `${name}.git`);
  }

  run(name, ...args) {
    return execFileSync("git", args, { cwd: this.folder(name), env: ENV, encoding: "utf8", maxBuffer: 1 << 26 }).trim();
  }

  has(name) {
    return existsSync(this.folder(name));
  }

  create(name) {
    mkdirSync(this.folder(name), { recursive: true });
    this.run(name, "init", "--bare", "--quiet", "--initial-branch=main");
    this.run(name, "config", "http.receivepack", "true");
  }

  rename(name, to) {
    mkdirSync(dirname(this.folder(to)), { recursive: true });
    renameSync(this.folder(name), this.folder(to));
  }

  remove(name) {
    rmSync(this.folder(name), { recursive: true, force: true });
  }

  /** Commits the files of a folder, or these files, as a branch's whole content. Returns the commit. */
  commit(name, branch, message, { folder, files = {}, submodules = [] }) {
    const work = mkdtempSync(join(tmpdir(), "github-demo-"));
    try {
      const git = (...args) =>
        execFileSync("git", args, { cwd: work, env: { ...ENV, GIT_DIR: this.folder(name), GIT_WORK_TREE: work, GIT_INDEX_FILE: join(work, ".git-index") }, encoding: "utf8" }).trim();
      if (folder) cpSync(folder, work, { recursive: true });
      for (const [path, text] of Object.entries(files)) {
        mkdirSync(dirname(join(work, path)), { recursive: true });
        writeFileSync(join(work, path), text);
      }
      git("add", "--all", "--", ".", ":!.git-index*");
      for (const { path, sha } of submodules) git("update-index", "--add", "--cacheinfo", `160000,${sha},${path}`);
      const tree = git("write-tree");
      const parent = this.branches(name)[branch];
      const sha = git("commit-tree", tree, "-m", message, ...(parent ? ["-p", parent] : []));
      git("update-ref", `refs/heads/${branch}`, sha);
      return sha;
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
  }

  /** Every branch with its head. */
  branches(name) {
    const lines = this.run(name, "for-each-ref", "--format=%(refname:lstrip=2) %(objectname)", "refs/heads").split("\n").filter(Boolean);
    return Object.fromEntries(lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), line.slice(line.lastIndexOf(" ") + 1)]));
  }

  /** Every reference with its object, tags as well. */
  references(name) {
    const lines = this.run(name, "for-each-ref", "--format=%(refname) %(objectname)").split("\n").filter(Boolean);
    return new Map(lines.map((line) => line.split(" ")));
  }

  commitOf(name, sha) {
    const [author, email, date, ...message] = this.run(name, "show", "-s", "--format=%an%n%ae%n%aI%n%B", sha).split("\n");
    return { sha, author, email, date, message: message.join("\n") };
  }

  hasCommit(name, sha) {
    try {
      return this.run(name, "cat-file", "-t", sha) === "commit";
    } catch {
      return false;
    }
  }

  tree(name, sha) {
    return this.run(name, "ls-tree", "-r", "-l", sha)
      .split("\n")
      .filter(Boolean)
      .map((line) => {
        const [head, path] = line.split("\t");
        const [mode, type, object, size] = head.split(/ +/);
        return { path, mode, type, sha: object, ...(type === "blob" && { size: Number(size) }) };
      });
  }

  file(name, sha, path) {
    return execFileSync("git", ["show", `${sha}:${path}`], { cwd: this.folder(name), env: ENV });
  }

  /** The archive of a commit with one top folder, as a stream. */
  archive(name, sha) {
    const top = `${name.replace("/", "-")}-${sha.slice(0, 7)}/`;
    return spawn("git", ["archive", "--format=tar.gz", `--prefix=${top}`, sha], { cwd: this.folder(name), env: ENV });
  }

  /** git's own server for fetch and push (smart http), as a CGI program. */
  serve(request, response, { path, query, user }) {
    const child = spawn("git", ["http-backend"], {
      env: {
        ...ENV,
        GIT_PROJECT_ROOT: this.root,
        GIT_HTTP_EXPORT_ALL: "1",
        PATH_INFO: path,
        QUERY_STRING: query,
        REQUEST_METHOD: request.method,
        CONTENT_TYPE: request.headers["content-type"] ?? "",
        HTTP_CONTENT_ENCODING: request.headers["content-encoding"] ?? "",
        GIT_PROTOCOL: request.headers["git-protocol"] ?? "",
        ...(user ? { REMOTE_USER: user } : {}),
      },
      stdio: ["pipe", "pipe", "inherit"],
    });
    request.pipe(child.stdin);
    child.stdin.on("error", () => {});
    return new Promise((resolve) => {
      let head = Buffer.alloc(0);
      let begun = false;
      child.stdout.on("data", (piece) => {
        if (begun) return response.write(piece);
        head = Buffer.concat([head, piece]);
        const end = head.indexOf("\r\n\r\n");
        if (end < 0) return;
        begun = true;
        for (const line of head.subarray(0, end).toString().split("\r\n")) {
          const at = line.indexOf(": ");
          if (line.startsWith("Status: ")) response.statusCode = Number(line.slice(8, 11));
          else response.setHeader(line.slice(0, at), line.slice(at + 2));
        }
        response.write(head.subarray(end + 4));
      });
      child.on("close", () => {
        response.end();
        resolve();
      });
    });
  }
}
